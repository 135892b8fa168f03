"""What both sides of the development identity provider know: its grant type, its path, how long tokens live."""

from typing import Final

GRANT_TYPE: Final = "urn:lykta:grant-type:development"
ISSUER_PATH: Final = "/development"
TOKEN_SECONDS: Final = 3600
