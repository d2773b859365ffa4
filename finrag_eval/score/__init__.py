"""Whether an answer is right: scorers, each from (query, result) to a score.

``scorers``      builds what a sweep asks for, and runs it so that nothing escapes
``numeric``      the right figure? with ``quantities`` (reading), ``references`` (what is right),
                 ``signs`` and ``sieves`` (which of several figures answers)
``matching``     ``contains``, ``exact``, ``regex``, ``boolean``
``listing``      ``list``: F1 over items
``rouge``        ``rouge_l``
``grounding``    ``citation`` and ``grounded``
``refusal``      did it decline, and should it have?
``judge``        a model with a rubric; its call is given from outside
``own_code``     ``python``: a function of the user's

No scorer raises, and none knows of ledgers or of MLflow.
"""
