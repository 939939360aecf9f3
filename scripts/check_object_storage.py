#!/usr/bin/env python3
"""Holds ingest from a bucket, and a cache that is pushed and pulled, against the folder, on a server by moto."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import boto3
from moto.server import ThreadedMotoServer

CASES = 4


def case_files(cache):
    """Case files by folder and name."""
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.glob("v2-*/*.case"))}


def main(program):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def gliaflow(line, code=0):
            done = subprocess.run(
                [program, *line.split(), "--json"], cwd=work, env={**os.environ, **settings}, text=True, capture_output=True
            )
            assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            return json.loads(done.stdout) if done.stdout else done.stderr

        gliaflow(f"phantom --out data --cases {CASES} --seed 3 --shape 48x56x52 --metrics-addr off")
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1"
        )
        client.create_bucket(Bucket="lab")
        for path in (work / "data").rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "lab", f"some/data/{path.relative_to(work / 'data')}")

        gliaflow("ingest --data data --cache folder --metrics-addr off")
        done = gliaflow("ingest --data s3://lab/some/data --cache bucket --metrics-addr off")
        assert done["published"] == CASES, done
        again = gliaflow("ingest --data s3://lab/some/data --cache bucket --metrics-addr off")
        assert again["current"] == CASES, again
        listed = [gliaflow(f"cache list --cache {cache}")["entries"] for cache in ("folder", "bucket")]
        facts = [[(case["id"], case["fingerprint"], case["dims"], case["bytes"]) for case in cases] for cases in listed]
        assert facts[0] == facts[1] and len(facts[0]) == CASES, facts
        print(f"ingest: {CASES} cases of a bucket are those of the folder")

        assert gliaflow("cache push s3://lab/cases --cache bucket")["copied"] == CASES
        assert gliaflow("cache push s3://lab/cases --cache folder")["present"] == CASES
        assert gliaflow("cache pull s3://lab/cases --cache pulled")["copied"] == CASES
        assert gliaflow("cache pull s3://lab/cases --cache pulled")["present"] == CASES
        assert case_files(work / "bucket") == case_files(work / "pulled")
        gliaflow("cache verify --cache pulled")
        print("push and pull: every case file arrives as it was")

        refused = gliaflow("ingest --data s3://nothing/here --cache none --metrics-addr off", code=3)
        assert "s3://nothing/here" in refused and refused.count("\n") == 1, refused
        print("a bucket that is not there:", refused.strip())
    server.stop()


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
