"""FeatureCodes: the repository of the feature codes that were changed; the others are as they came."""

from __future__ import annotations

from gosip_py.store.database import Database
from gosip_py.store.listing import Stamp, stamp_of
from gosip_py.store.records import FeatureCode
from gosip_py.store.upsert import column_names, upsert

COLUMNS = column_names(FeatureCode)
UPSERT = upsert("feature_codes", COLUMNS, ("feature",))


class FeatureCodes:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stamp(self) -> Stamp:
        """What changes when the table does, whoever changed it."""
        return await stamp_of(self._database, "feature_codes")

    async def all(self) -> tuple[FeatureCode, ...]:
        """Every code that was changed, by the name of its feature."""
        rows = await self._database.query(f"SELECT {', '.join(COLUMNS)} FROM feature_codes ORDER BY feature")
        return tuple(FeatureCode(**row) for row in rows)

    async def put(self, code: FeatureCode) -> None:
        """Keep this code for its feature."""
        values = (code.feature, code.code, code.enabled, code.updated_at)
        await self._database.transact(lambda tx: tx.execute(UPSERT, values))
