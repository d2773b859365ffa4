"""How a rehearsal model answers: from the text of the prompt alone.

Enters: an assembled prompt. Leaves: an answer made of what stands in it, in the form that its
instructions ask for, or a plain refusal. Knows no data, no store and no corpus.
"""
