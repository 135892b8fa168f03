"""The incident book and the archive of mandate orders, as rows of one database."""

from pathlib import Path
from typing import Final

from lykta_analytics.store.book import BookRow, BookStore, Cursor, Filter
from lykta_analytics.store.orders import OrderArchive
from lykta_analytics.store.tables import OUTBOX

MIGRATIONS: Final = Path(__file__).parent / "migrations"

__all__ = ["MIGRATIONS", "OUTBOX", "BookRow", "BookStore", "Cursor", "Filter", "OrderArchive"]
