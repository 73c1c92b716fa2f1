#!/usr/bin/env python3
"""Writes profiles.json: the keys, region and endpoint that botocore, the AWS CLI's library, finds in each case.

A case is an environment, together with the two profile files. In its variables, DIR stands for their directory.
"""
import json, os, pathlib, sys, tempfile
import botocore.session
import botocore.exceptions

CREDENTIALS = """\
[default]
aws_access_key_id = AKdefault
aws_secret_access_key = SKdefault/with+signs=
[work]
aws_access_key_id=AKwork
aws_secret_access_key=SKwork
aws_session_token=TKwork
# a comment
[both]
aws_access_key_id = AKboth
aws_secret_access_key = SKboth
"""
CONFIG = """\
[default]
region = eu-central-1
output = json
[profile work]
region = us-west-2
endpoint_url = https://work.example.org
[profile both]
aws_access_key_id = AKother
aws_secret_access_key = SKother
region = ap-south-1
[profile config-only]
aws_access_key_id = AKconfig
aws_secret_access_key = SKconfig
[profile service]
services = local
region = eu-west-3
endpoint_url = https://all.example.org
[services local]
s3 =
  endpoint_url = https://s3-only.example.org
dynamodb =
  endpoint_url = https://tables.example.org
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKenv", "AWS_SECRET_ACCESS_KEY": "SKenv"}
FILES = {"AWS_SHARED_CREDENTIALS_FILE": "DIR/credentials", "AWS_CONFIG_FILE": "DIR/config"}
CASES = {
    "home": {"HOME": "DIR"},
    "default": FILES,
    "keys in the environment": FILES | KEYS,
    "keys and a token in the environment": FILES | KEYS | {"AWS_SESSION_TOKEN": "TKenv"},
    "keys in the environment and a profile": FILES | KEYS | {"AWS_PROFILE": "work"},
    "profile": FILES | {"AWS_PROFILE": "work"},
    "a token in the environment and a profile": FILES | {"AWS_PROFILE": "default", "AWS_SESSION_TOKEN": "TKenv"},
    "credentials before config": FILES | {"AWS_PROFILE": "both"},
    "config only": FILES | {"AWS_PROFILE": "config-only", "AWS_DEFAULT_REGION": "sa-east-1"},
    "region and endpoint in the environment": FILES | {
        "AWS_PROFILE": "work", "AWS_DEFAULT_REGION": "sa-east-1", "AWS_ENDPOINT_URL": "http://localhost:9000"},
    "endpoint for S3 first": FILES | {
        "AWS_ENDPOINT_URL": "http://localhost:9000", "AWS_ENDPOINT_URL_S3": "http://localhost:9001"},
    "endpoint of a service": FILES | KEYS | {"AWS_PROFILE": "service"},
    "no such profile": FILES | {"AWS_PROFILE": "nobody"},
    "no files": {"HOME": "DIR/empty"},
    "no files but keys": {"HOME": "DIR/empty"} | KEYS,
}


def resolve(env):
    os.environ.clear()
    os.environ.update(env, AWS_EC2_METADATA_DISABLED="true")
    session = botocore.session.Session()
    try:
        keys = session.get_credentials()
    except botocore.exceptions.ProfileNotFound:
        return {"error": True}
    if keys is None:
        return {"error": True}
    client = session.create_client("s3", region_name=session.get_config_variable("region") or "us-east-1")
    endpoint = client.meta.endpoint_url
    return {
        "access": keys.access_key, "secret": keys.secret_key, "token": keys.token or "",
        "region": session.get_config_variable("region") or "",
        "endpoint": "" if endpoint.endswith("amazonaws.com") else endpoint,
    }


def main():
    out = {"credentials": CREDENTIALS, "config": CONFIG, "cases": {}}
    with tempfile.TemporaryDirectory() as directory:
        for place in ("", ".aws"):
            os.makedirs(os.path.join(directory, place), exist_ok=True)
            pathlib.Path(directory, place, "credentials").write_text(CREDENTIALS)
            pathlib.Path(directory, place, "config").write_text(CONFIG)
        for name, env in CASES.items():
            want = resolve({k: v.replace("DIR", directory) for k, v in env.items()})
            out["cases"][name] = {"env": env, "want": want}
    path = pathlib.Path(sys.argv[0]).with_name("profiles.json")
    path.write_text(json.dumps(out, indent=1) + "\n")


main()
