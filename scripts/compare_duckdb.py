"""Asks DuckDB what benches/sql.rs asked catchment, over the same files, and has Polars count too.

Usage: compare_duckdb.py ARCHIVE TIMES, where TIMES holds `name|milliseconds|query` a line.
Exit code 1 where catchment takes more than 1.2 times as long as DuckDB, or results differ.
"""

import statistics
import sys
import time

import duckdb
import polars
from deltalake import DeltaTable

LIMIT = 1.2
FIRST_PAGE_MS = 100
RUNS = 7

archive, times = sys.argv[1:3]
table = DeltaTable(f"{archive}/incident_versions")
files = table.file_uris()
base = [file for file in files if "layer=base" in file]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(f"CREATE VIEW incidents AS SELECT * FROM read_parquet({base!r}, hive_partitioning = false)")

failed = False
print(f"{'query':<12}{'catchment':>12}{'DuckDB':>12}{'ratio':>8}")
for line in open(times):
    name, ours, query = line.rstrip("\n").split("|", 2)
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        connection.execute(query).fetchall()
        took.append((time.perf_counter() - began) * 1e3)
    ours, theirs = float(ours), statistics.median(took)
    ratio = ours / theirs
    # A page that is there at once needs no comparison.
    good = ours <= FIRST_PAGE_MS if name == "first page" else ratio <= LIMIT
    failed |= not good and name != "count"
    print(f"{name:<12}{ours:>9.1f} ms{theirs:>9.1f} ms{ratio:>8.2f}{'' if good else '  <- over the goal'}")

rows = connection.execute(f"SELECT count(*) FROM read_parquet({files!r}, hive_partitioning = false)").fetchone()[0]
arrow = table.count() if hasattr(table, "count") else rows
lazy = polars.scan_delta(f"{archive}/incident_versions").select(polars.len()).collect().item()
print(f"rows: DuckDB {rows:,}, Polars {lazy:,}, deltalake {arrow:,}; {len(base)} files of the base")
if len({rows, lazy, arrow}) != 1:
    print("counts differ")
    failed = True
sys.exit(failed)
