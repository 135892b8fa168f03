"""What the chart asks of its jobs: the plans it writes into ConfigMaps."""

from pathlib import Path
from typing import TypeVar

from lykta_common.errors import invalid
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Authority(_Part):
    """The Secret of the platform's own CA, and how long a new one lives, days."""

    secret: str
    days: int


class WorkloadCertificate(_Part):
    """A workload's certificate: its Secret and its DNS names, the workload's own name first."""

    workload: str
    secret: str
    dns_names: tuple[str, ...]


class SigningKeys(_Part):
    """Signing keys: one Secret with private halves, one with public ones and the log's verifier key."""

    secret: str
    public_secret: str
    names: tuple[str, ...]
    log_origin: str


class ControllerKeys(_Part):
    """Keys of controllers; no Secret where somebody else brings it."""

    secret: str
    controllers: tuple[str, ...]


class Passwords(_Part):
    """A Secret with one password per key; no Secret where somebody else brings it."""

    secret: str
    keys: tuple[str, ...]


class S3Secrets(_Part):
    """Secrets with the root of the bundled object store and its accounts; empty where it is external."""

    root_secret: str
    accounts_secret: str


class CameraCredentials(_Part):
    """The Secret with the demo cameras' credentials; empty without a demo."""

    secret: str


class RequiredSecret(_Part):
    """A Secret that somebody else brings: the value that names it, and the files that must be in it."""

    value: str
    secret: str
    keys: tuple[str, ...]


class PreparePlan(_Part):
    """Everything that must be there before pods start."""

    namespace: str
    labels: dict[str, str]
    required: tuple[RequiredSecret, ...] = ()
    authority: Authority
    leaf_days: int = Field(ge=1)
    certificates: tuple[WorkloadCertificate, ...]
    signing_keys: SigningKeys
    controller_keys: ControllerKeys
    passwords: tuple[Passwords, ...]
    s3: S3Secrets
    camera_credentials: CameraCredentials


class NatsSetup(_Part):
    """Where NATS is, and how many copies a stream has."""

    url: str
    replicas: int = Field(ge=1)


class S3Setup(_Part):
    """Where the object store is, its buckets, and whether accounts are made there."""

    endpoint: str
    region: str
    footage_bucket: str
    audit_bucket: str
    audit_lock_days: int = Field(ge=1)
    accounts: bool


class SetupPlan(_Part):
    """Everything that must be there in the servers before services do their job."""

    nats: NatsSetup
    s3: S3Setup


PlanT = TypeVar("PlanT", bound=_Part)


def read_plan(kind: type[PlanT], path: Path) -> PlanT:
    """Read a plan; raises PlatformError that names the file, or the keys that are wrong."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise invalid(f"cannot read the plan {path}: {error.strerror}") from error
    except ValidationError as error:
        keys = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise invalid(f"the plan {path} is not one: {keys}") from error
