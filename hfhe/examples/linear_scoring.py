"""Private scoring with a linear model: a lender learns no income, an applicant learns no weights.

    python -m octra.hfhe.examples.linear_scoring

The applicant sends encrypted features; the lender, who has no secret key, computes weights . features + offset and
sends back one encrypted number. A random multiple of nothing is added to it: see `blinded`.
"""

from __future__ import annotations
