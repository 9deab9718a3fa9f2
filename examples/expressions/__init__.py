"""How flowedit/weights/expressions is made: python -m examples.expressions FACES"""
