"""How a fixture is written: JSON for figures, gzip around safetensors for tensors."""

import gzip
import json

import numpy as np
from safetensors.numpy import save


def singles(values):
    """Values as JSON keeps them: float32, with the nine digits that tell each from its neighbours."""
    return [float(f"{value:.9g}") for value in np.asarray(values, np.float32).ravel().tolist()]


def array(values):
    """A small tensor written out: `{"shape": ..., "values": ...}`."""
    return {"shape": list(np.shape(values)), "values": singles(values)}


def write_json(folder, name, figures, indent=None):
    """Writes `NAME.json`."""
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=indent) + "\n")


def write_tensors(folder, name, tensors):
    """Writes `NAME.safetensors.gz`, the same bytes for the same tensors."""
    content = save({key: np.ascontiguousarray(value) for key, value in tensors.items()})
    (folder / f"{name}.safetensors.gz").write_bytes(gzip.compress(content, 9, mtime=0))
