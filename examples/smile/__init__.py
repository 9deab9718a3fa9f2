"""How the mean smile in flowedit/fit/smile.csv is made: python -m examples.smile FACES"""
