#!/usr/bin/env python3
"""Holds ingest from a bucket, a cache that is pushed and pulled, and training on it against the folder, on a server by
moto that checks signatures."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# Calls that moto answers without a signature: those that make the user and its keys.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

CASES = 4
REGION = "us-east-1"
ALLOWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
# With signs that a URL and a signature write otherwise.
PREFIX = "some/data+2020/ü"
TRAINED = (
    "--set device=cpu --set crop.patch=[16,16,16] --set model.settings={base_width=2,levels=2} --set loader.memory_mib=64 "
    "--set train.epochs=1 --set train.steps_per_epoch=2 --set data.cache="
)


def make_keys(endpoint):
    """Makes a user that may do anything in S3; its keys."""
    iam = boto3.client("iam", endpoint_url=endpoint, aws_access_key_id="-", aws_secret_access_key="-", region_name=REGION)
    iam.create_user(UserName="lab")
    iam.put_user_policy(UserName="lab", PolicyName="all", PolicyDocument=json.dumps(ALLOWED))
    made = iam.create_access_key(UserName="lab")["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


def case_files(cache):
    """Case files by folder and name."""
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.glob("v2-*/*.case"))}


def newest_weights(run):
    """Weights of the latest checkpoint."""
    latest = (run / "checkpoints/latest").read_text().strip()
    return (run / "checkpoints" / latest / "weights.bpk").read_bytes()


def main(program, trainer=None):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    key, secret = make_keys(endpoint)
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def gliaflow(line, program=program, code=0, **other):
            is_long = line.split()[0] in ("phantom", "ingest", "train")
            words = [program, *line.split(), *(["--metrics-addr", "off"] if is_long else []), "--json"]
            done = subprocess.run(words, cwd=work, env={**os.environ, **settings, **other}, text=True, capture_output=True)
            assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            return json.loads(done.stdout)

        gliaflow(f"phantom --out data --cases {CASES} --seed 3 --shape 48x56x52")
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret, region_name=REGION
        )
        client.create_bucket(Bucket="lab")
        for path in (work / "data").rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "lab", f"{PREFIX}/{path.relative_to(work / 'data')}")

        bucket = f"s3://lab/{PREFIX}"
        gliaflow("ingest --data data --cache folder")
        done = gliaflow(f"ingest --data {bucket} --cache bucket")
        assert done["published"] == CASES, done
        again = gliaflow(f"ingest --data {bucket} --cache bucket")
        assert again["current"] == CASES, again
        listed = [gliaflow(f"cache list --cache {cache}")["entries"] for cache in ("folder", "bucket")]
        facts = [[(case["id"], case["fingerprint"], case["dims"], case["labelled"]) for case in cases] for cases in listed]
        assert facts[0] == facts[1] and len(facts[0]) == CASES, facts
        print(f"ingest: {CASES} cases of a bucket are those of the folder")

        assert gliaflow("cache push s3://lab/cases --cache bucket")["copied"] == CASES
        pushed = gliaflow("cache push s3://lab/cases --cache folder --data data")
        assert pushed["present"] == CASES and pushed["listings"] == ["listings/data.listing"], pushed
        assert gliaflow("cache pull s3://lab/cases --cache pulled")["copied"] == CASES
        assert gliaflow("cache pull s3://lab/cases --cache pulled")["present"] == CASES
        assert case_files(work / "bucket") == case_files(work / "pulled")
        gliaflow("cache verify --cache pulled")
        print("push and pull: every case file arrives as it was")

        refusals = {
            "a bucket that is not there": ("s3://nothing/here", {}),
            "a key that is unknown": (bucket, {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}),
            "a secret that is wrong": (bucket, {"AWS_SECRET_ACCESS_KEY": "wrong"}),
        }
        for what, (data, wrong) in refusals.items():
            refused = gliaflow(f"ingest --data {data} --cache none", code=3, **wrong)
            assert data in refused["error"] and "; " in refused["error"], refused
            assert not (work / "none").exists()
            print(f"{what}: {refused['error']}")

        trainer = trainer or program
        if subprocess.run([trainer, "train", "--help"], capture_output=True).returncode == 0:
            gliaflow(f"train --data data --run of-folder {TRAINED}folder", trainer)
            for folder in ("data", "folder", "bucket"):
                shutil.rmtree(work / folder)
            runs = ["of-folder", "of-listing"]
            nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
            gliaflow(f"train --data pulled/listings/data.listing --run of-listing {TRAINED}pulled", trainer, **nobody)
            if trainer == program:
                runs.append("of-bucket")
                gliaflow(f"train --data {bucket} --run of-bucket {TRAINED}pulled")
            weights = {newest_weights(work / run) for run in runs}
            assert len(weights) == 1, f"the weights of {runs} differ"
            print(f"training on a pulled cache, without the data: the weights of {', '.join(runs)} are the same")
    server.stop()


if __name__ == "__main__":
    main(*map(os.path.abspath, sys.argv[1:3]))
