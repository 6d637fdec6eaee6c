"""Two S3 servers on loopback, for the tests: SeaweedFS (a real one) and moto. They end with this process."""

import contextlib
import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from swath import storage

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "s3cret-of-the-tests"}
_NAMES = ("master", "volume", "filer", "s3")
_STARTS_WITHIN_S = 60


@contextlib.contextmanager
def seaweedfs(folder, ports=None):
    """Address of a server with one bucket, `bucket`; it refuses other keys than KEYS.

    The same folder and ports are the same server, started again.
    """
    ports = dict(zip(_NAMES, ports or server_ports(), strict=True))
    credentials = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
    identity = {"name": "tests", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    weed = shutil.which("weed", path=Path(sys.executable).parent)
    command = [
        weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        *(f"-{name}.port={port}" for name, port in ports.items()), "-master.telemetry=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}",
        "-master.volumeSizeLimitMB=64", "-volume.max=20",
    ]  # fmt: skip
    # Ends with its standard input, so also where this process is killed; asked kindly it takes 25 s.
    until_eof = f"{shlex.join(command)} & cat > /dev/null; kill -9 $!"
    log = (folder / "weed.log").open("wb")
    with (
        log,
        subprocess.Popen(["sh", "-c", until_eof], stdin=subprocess.PIPE, stdout=log, stderr=log) as process,
    ):
        try:
            url = f"http://127.0.0.1:{ports['s3']}"
            _make_bucket(url)
            yield url
        finally:
            process.stdin.close()
            process.wait(30)


@contextlib.contextmanager
def moto():
    """As `seaweedfs`; any keys will do."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _make_bucket(f"http://{host}:{port}")
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def flip(path):
    """Another byte at rest, under the hash of before."""
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
    stored = client.get_object(Bucket=path.bucket, Key=path.key)
    content = bytearray(stored["Body"].read())
    content[len(content) // 2] ^= 1
    client.put_object(Bucket=path.bucket, Key=path.key, Body=bytes(content), Metadata=stored["Metadata"])


def put_folder(folder, there):
    """Copy a folder to S3 as other programs do, without hashes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with storage.object_aside(there / path.relative_to(folder).as_posix()) as aside:
                shutil.copy(path, aside)
    return there


def _make_bucket(url):
    keys = {
        "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
    }
    quick = Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=2)
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=quick, **keys)
    until_s = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # of a try that was cut off
                client.create_bucket(Bucket="bucket")
            client.put_object(Bucket="bucket", Key="is-ready", Body=b"x")
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)


def server_ports():
    return free_ports(len(_NAMES))


def free_ports(count):
    """Ports that are free now, and whose number plus 10,000, which the server takes for gRPC, is free too."""
    found = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        if all(_is_free(number) for number in (port, port + 10_000)) and port not in found:
            found.append(port)
    return found


def _is_free(port):
    with socket.socket() as tried, contextlib.suppress(OSError):
        tried.bind(("127.0.0.1", port))
        return True
    return False
