"""What holds for every test, before anything imports gRPC."""

import os

from hypothesis import settings

# Tests fork while their servers answer (PostgreSQL is started as a user of its own), and gRPC's handlers of forks then
# crash one child in eight. No child of a test goes on with its parent's gRPC, so nothing needs them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# A machine that is busy makes no property false.
settings.register_profile("lykta", deadline=None)
settings.load_profile("lykta")
