"""`platform.json`: the attach points of a running platform, for examples, tests and other programs."""

from pydantic import Field

from lykta_contracts.model import Message


class NatsUser(Message):
    """Credentials of one NATS user."""

    user: str
    password_file: str
    controller: str = ""


class ClientCertificate(Message):
    """Files of one client's mTLS identity."""

    certificate_file: str
    key_file: str


class PlatformFile(Message):
    """Where everything is; paths are absolute."""

    version: int = 1
    state_dir: str
    nats_url: str
    nats_users: dict[str, NatsUser] = Field(default_factory=dict, description="by role, e.g. subscriber-ks")
    grpc: dict[str, str] = Field(description="host:port by service")
    s3_endpoint: str
    s3_buckets: dict[str, str] = Field(description="bucket by use: footage, audit")
    s3_credentials_file: str = Field(description="JSON access_key, secret_key with read access")
    oidc_issuer: str
    ca_file: str
    clients: dict[str, ClientCertificate] = Field(description="by workload: cli, test-tool")
    audit_origin: str
    audit_verifier_key: str
    recorder_key_file: str = Field(description="PEM public key that verifies hour seals")
    profile: str
    oidc_client_secret_file: str = Field(default="", description="client secret of the development identity provider")
    people: dict[str, str] = Field(default_factory=dict, description="demo people who can log in: name and role")
    status_file: str = Field(default="", description="JSON with processes, pids and restarts; written every second")
    log_dir: str = Field(default="", description="one log file for each process")
    camera_control_url: str = Field(default="", description="faults for the demo cameras; empty without them")
    camera_capture_dir: str = Field(default="", description="what the demo cameras sent, NAL by NAL; empty if not kept")
    otlp_endpoint: str = Field(default="", description="host:port of the OTLP/gRPC collector; empty for none")
