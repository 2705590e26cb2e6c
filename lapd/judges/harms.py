"""The categories of harm that prompts and verdicts are sorted by."""

CATEGORIES = (
    "animal_abuse",
    "child_abuse",
    "controversial_topics,politics",
    "discrimination,stereotype,injustice",
    "drug_abuse,weapons,banned_substance",
    "financial_crime,property_crime,theft",
    "hate_speech,offensive_language",
    "misinformation_regarding_ethics,laws_and_safety",
    "non_violent_unethical_behavior",
    "privacy_violation",
    "self_harm",
    "sexually_explicit,adult_content",
    "terrorism,organized_crime",
    "violence,aiding_and_abetting,incitement",
)
"""BeaverTails' categories of harm, as its publisher names and numbers them: `category_id` is the place in this list."""


def category_metric(category: str) -> str:
    """The name of a category's rate: lm-eval keeps the comma in a metric's name for itself."""
    return "flagged_" + category.replace(",", "_")
