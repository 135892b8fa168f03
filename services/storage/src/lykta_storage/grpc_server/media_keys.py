"""MediaKeyService: the export of an hour's private key to a test tool."""

from typing import Any, Final

import grpc
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as pb2_grpc
from lykta_common.identity import workload

from lykta_storage.domain.footage import CameraHour
from lykta_storage.key_export import KeyExport

Context = grpc.aio.ServicerContext[Any, Any]
TEST_TOOL: Final = "test-tool"


class MediaKeyServicer(pb2_grpc.MediaKeyServiceServicer):
    """Speaks `MediaKeyService`."""

    def __init__(self, export: KeyExport) -> None:
        self._export = export

    async def ExportHourKey(self, request: pb2.ExportHourKeyRequest, context: Context) -> pb2.ExportHourKeyResponse:
        """Return the private half of a camera-hour key."""
        hour = CameraHour(request.controller, request.camera, request.hour)
        return pb2.ExportHourKeyResponse(identity=await self._export.export(hour, workload(context)))
