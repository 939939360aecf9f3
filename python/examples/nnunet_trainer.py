"""Trainer of nnU-Net v2 that takes its batches from gliaflow.

nnU-Net finds trainers among its own modules, so put this file there, plan and preprocess as ever (the plan decides
network and patch), and train with it:

    pip install . nnunetv2
    cp python/examples/nnunet_trainer.py \\
        "$(python -c 'import nnunetv2.training.nnUNetTrainer as t; print(t.__path__[0])')/nnUNetTrainerGliaflow.py"
    nnUNetv2_plan_and_preprocess -d 137 -c 3d_fullres
    nnUNetv2_train 137 3d_fullres 0 -tr nnUNetTrainerGliaflow

It reads `nnUNet_raw/DATASET` and keeps its own cache beside nnU-Net's preprocessed files. It is for brain MRI in the
orientation of BraTS whose voxels the plan leaves as they are: gliaflow resamples nothing here. The augmentation is
gliaflow's own version of nnU-Net's recipe.
"""

import os

import gliaflow
import numpy as np
import torch
from nnunetv2.paths import nnUNet_raw
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.nn import functional as F


class nnUNetTrainerGliaflow(nnUNetTrainer):
    """nnU-Net's trainer with gliaflow's loader."""

    def get_dataloaders(self):
        patch = tuple(int(extent) for extent in self.configuration_manager.patch_size)
        if len(patch) != 3 or self.is_cascaded:
            raise ValueError("gliaflow makes patches of volumes: train the configuration 3d_fullres")
        training, validation = self.do_split()
        own = {"patch": patch, "batch": self.batch_size, "foreground_share": self.oversample_foreground_percent}
        # The places in training go on where a resumed run left off.
        taken = self.current_epoch * self.num_iterations_per_epoch
        train = self.make_batches(training, taken, augment="nnunet", seed=1 + self.fold_number(), **own)
        val = self.make_batches(validation, 0, augment="none", seed=1001 + self.fold_number(), **own)
        return train, val

    def make_batches(self, cases, taken, **arguments):
        raw = os.path.join(nnUNet_raw, self.plans_manager.dataset_name)
        cache = os.path.join(self.preprocessed_dataset_folder_base, "gliaflow")
        loader = gliaflow.Loader(raw, cache, cases=list(map(str, cases)), arrays="torch", **arguments)
        state = loader.state_dict()
        state["next_sample"], state["next_batch"] = taken * self.batch_size, taken
        loader.load_state_dict(state)
        return Batches(loader, self.label_manager, self._get_deep_supervision_scales())

    def fold_number(self):
        return self.fold if isinstance(self.fold, int) else 99

    def on_train_end(self):
        super().on_train_end()
        for batches in (self.dataloader_train, self.dataloader_val):
            batches.loader.close()


class Batches:
    """Iterator of batches as nnU-Net's training step takes them: `data` and `target`, in scales if there are any."""

    def __init__(self, loader, label_manager, scales):
        self.loader, self.scales = loader, scales
        # Labels of gliaflow to the values of the files, by which nnU-Net names its regions.
        self.values = torch.zeros(256, dtype=torch.uint8)
        for label, value in loader.label_values.items():
            self.values[label] = value
        self.regions = label_manager.foreground_regions if label_manager.has_regions else None
        self.ignored = label_manager.ignore_label

    def __iter__(self):
        return self

    def __next__(self):
        batch = next(self.loader)
        labels = self.values[batch["label"].long()]
        if self.scales is None:
            targets = self.to_target(labels)
        else:
            # As nnU-Net: labels are made coarse first, and put into regions then.
            targets = [self.to_target(self.make_coarse(labels, scale)) for scale in self.scales]
        return {"data": batch["image"].float(), "target": targets, "keys": batch["case"]}

    def make_coarse(self, labels, scale):
        if all(factor == 1 for factor in scale):
            return labels
        extents = [round(extent * factor) for extent, factor in zip(labels.shape[2:], scale)]
        return F.interpolate(labels, size=extents, mode="nearest-exact")

    def to_target(self, labels):
        if self.regions is None:
            return labels.to(torch.int16)
        values = [torch.from_numpy(np.atleast_1d(np.asarray(region))) for region in self.regions]
        members = [torch.isin(labels, own.to(labels.dtype)) for own in values]
        if self.ignored is not None:
            members.append(labels == self.ignored)
        return torch.cat(members, dim=1)
