"""How the average faces in flowedit/weights/average_faces are made: python -m examples.average_faces --data FOLDER"""
