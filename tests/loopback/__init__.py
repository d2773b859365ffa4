"""A server on this machine that speaks Bedrock's wire format, with faults and a ledger."""
