"""Reads an archive's table with DuckDB, Polars and deltalake, and asks a port with asyncpg.

Usage: clients.py ARCHIVE PORT. Prints one `who rows incidents` a line (tests/archive_clients.rs).
"""

import asyncio
import sys

import asyncpg
import duckdb
import polars
from deltalake import DeltaTable, QueryBuilder

archive, port = sys.argv[1], int(sys.argv[2])
path = f"{archive}/incident_versions"
table = DeltaTable(path)
files = table.file_uris()

rows, ids = duckdb.sql(f"SELECT count(*), count(DISTINCT id) FROM read_parquet({files!r}, hive_partitioning = false)").fetchall()[0]
print("duckdb", rows, ids)
rows, ids = polars.scan_delta(path).select(polars.len(), polars.col("id").n_unique()).collect().row(0)
print("polars", rows, ids)
counted = QueryBuilder().register("t", table).execute("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM t").read_all()
print("deltalake", counted["n"][0].as_py(), counted["ids"][0].as_py())


async def ask():
    where = dict(host="127.0.0.1", port=port, user="catchment", database="catchment")
    connection = await asyncpg.connect(**where)
    async with connection.transaction():
        row = await connection.fetchrow("SELECT count(*), count(DISTINCT id) FROM incident_versions WHERE severity >= $1", 0.0)
    print("asyncpg", row[0], row[1])
    record = await connection.fetchrow("SELECT id, created, severity, host, fields FROM incidents ORDER BY id LIMIT 1")
    assert record["created"].tzinfo is not None and isinstance(record["severity"], float) and record["fields"].startswith("{"), record
    try:
        await connection.execute("DELETE FROM incidents")
        raise SystemExit("something was deleted")
    except asyncpg.PostgresError:
        pass
    await connection.close()
    # A pool says farewell to each user of a connection with statements of its own.
    pool = await asyncpg.create_pool(**where, min_size=1, max_size=1)
    for _ in range(3):
        async with pool.acquire() as connection:
            row = await connection.fetchrow("SELECT count(*), count(DISTINCT id) FROM incident_versions")
    print("pool", row[0], row[1])
    await pool.close()


asyncio.run(ask())
