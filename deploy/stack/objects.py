"""S3Proxy over a folder: its settings and its command.

Always: loopback only, the home's key and secret, buckets under the home. Must not know: what is stored.
"""

from __future__ import annotations

from pathlib import Path

from deploy.stack.credentials import Credentials
from deploy.stack.kafka import java
from deploy.stack.layout import Layout, write_atomic
from deploy.stack.ports import LOOPBACK

JVM = (
    *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"),
    *("-XX:-UsePerfData", "-Djava.awt.headless=true", "-DLOG_LEVEL=warn"),
)


def prepare(layout: Layout, secret: Credentials, jars: list[Path], port: int) -> list[str]:
    """Write the settings; answers with the server's command."""
    folder = layout.root / "s3"
    for path in (folder, folder / "buckets", folder / "tmp"):
        path.mkdir(exist_ok=True, mode=0o700)
    settings = {
        "s3proxy.endpoint": f"http://{LOOPBACK}:{port}",
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": secret.s3_key,
        "s3proxy.credential": secret.s3_secret,
        "jclouds.provider": "filesystem-nio2",
        "jclouds.identity": "unused",
        "jclouds.credential": "unused",
        "jclouds.filesystem.basedir": folder / "buckets",
    }
    path = folder / "s3proxy.properties"
    write_atomic(path, "".join(f"{name}={value}\n" for name, value in settings.items()))
    return [
        *(java(), *JVM, f"-Djava.io.tmpdir={folder / 'tmp'}", "-cp", ":".join(map(str, jars))),
        *("org.gaul.s3proxy.Main", "--properties", str(path)),
    ]
