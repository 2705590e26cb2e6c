"""One question to any fine-tune: what did it buy, what did it cost, and how sure is that?"""
