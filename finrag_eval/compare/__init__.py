"""Candidate against baseline: is it better, worse, as good, or not known?

``columns``      what is compared: one value a trial and metric
``comparing``    pairs by query, tests, adjusts, and says the verdict
``differences``  what else differs between two sweeps
``gates``        sentences about a comparison or a cell that are true or false
``fail_on``      gates as the command line writes them
``junit``        gates for a CI server
``markdown``     comparisons and gates for a CI job's page
"""
