"""Long campaigns against the laws: crashes, budgets, outages. ``python -m benchmarks.torture``.

Each campaign is seeded, bounded, stays on 127.0.0.1 and stops by itself. The tests run a short
version of each.
"""
