"""What a sweep will cost and take, with a range, before a cent is spent.

Prompts are really assembled and measured, models are never called. Source of every figure:
METHODS, "Plan: an estimate with a range".
"""
