"""The front door: one small module a verb. Options in, one call, a report out.

Nothing heavy is imported before a verb needs it, so that ``--help`` answers at once.
"""
