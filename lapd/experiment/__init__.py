"""Where the plan, what answers and the record meet: arms evaluated, whole experiments, a cell done again."""
