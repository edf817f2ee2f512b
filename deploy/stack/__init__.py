"""The embedded stack: Kafka, PostgreSQL and an object store as child processes, and where to find them."""

from deploy.stack.control import down, ensure, scale, up
from deploy.stack.credentials import ensure_master_key, master_key
from deploy.stack.endpoints import S3, Endpoints, Kafka, Postgres, endpoints
from deploy.stack.layout import home
from deploy.stack.overview import Status
from deploy.stack.overview import inspect as status
from deploy.stack.roster import SERVICES

__all__ = [
    "S3",
    "SERVICES",
    "Endpoints",
    "Kafka",
    "Postgres",
    "Status",
    "down",
    "endpoints",
    "ensure",
    "ensure_master_key",
    "home",
    "master_key",
    "scale",
    "status",
    "up",
]
