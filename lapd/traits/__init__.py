"""Trait packs: folders of data that define axes and their poles, with personas, situations and a questionnaire."""
