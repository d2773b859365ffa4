"""How sure a figure is: pure functions on numpy arrays, one trade a module.

``quantiles``     type 7 quantiles and their order-statistic limits
``clusters``      repeats into queries, queries into clusters
``intervals``     means and shares with 95% intervals
``paired``        candidate against baseline: difference, its error, its p-value
``resampling``    BCa bootstrap of a ratio, sign-flip permutations
``multiplicity``  Holm
``power``         the smallest difference found, the queries needed, equivalence
``repeats``       the share of variance that is the model's own noise
``agreement``     Krippendorff's alpha

Missing values are NaN and are the caller's to leave out, except where a function says otherwise.
Every formula's source is METHODS and the paper named beside it.
"""
