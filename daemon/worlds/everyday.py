"""Everyday: simple questions that have nothing to do with commits: what a policy must not forget.

Some are replayed while it learns (`learner.replay`), others are only asked before and after.
"""

ASKED = (
    ("What is the capital of France?", "paris"),
    ("What is the capital of Italy?", "rome"),
    ("What is the capital of Japan?", "tokyo"),
    ("What is the capital of Germany?", "berlin"),
    ("Which planet do we live on?", "earth"),
    ("What is the largest ocean on Earth?", "pacific"),
    ("What gas do plants take in for photosynthesis?", "carbon dioxide"),
    ("Which organ pumps blood through the body?", "heart"),
    ("What is frozen water called?", "ice"),
    ("What language is mostly spoken in Brazil?", "portuguese"),
    ("Who wrote the play Romeo and Juliet?", "shakespeare"),
    ("What is the opposite of hot?", "cold"),
    ("What do bees make?", "honey"),
    ("On which continent is Egypt?", "africa"),
    ("What star does the Earth orbit?", "sun"),
    ("What is the chemical formula of water?", "h2o"),
    ("How many days are there in a week?", "seven|7"),
    ("Name a color of the rainbow.", "red|orange|yellow|green|blue|indigo|violet"),
    ("What is the currency of the United States?", "dollar"),
    ("Which animal is known as man's best friend?", "dog"),
    ("What is the tallest mountain in the world?", "everest"),
    ("What do we call a baby cat?", "kitten"),
    ("In which country is the Great Wall?", "china"),
    ("Who was the first president of the United States?", "washington"),
)
"""Questions, and what a right answer holds, in lower case: one of several where a bar divides them."""

REPLAYED = (
    ("What is the capital of Spain?", "The capital of Spain is Madrid."),
    ("What is the capital of England?", "The capital of England is London."),
    ("What is the capital of Canada?", "The capital of Canada is Ottawa."),
    ("Which planet is the largest?", "The largest planet in our solar system is Jupiter."),
    ("Which gas do we breathe to live?", "We breathe oxygen, which is about a fifth of the air."),
    ("Who painted the Mona Lisa?", "The Mona Lisa was painted by Leonardo da Vinci."),
    ("What is two plus three?", "Two plus three is five."),
    ("How many months has a year?", "A year has twelve months."),
    ("Give a synonym of big.", "A synonym of big is large."),
    ("What do cows drink?", "Cows drink water."),
    (
        "Where do penguins live?",
        "Most penguins live in the Southern Hemisphere, many in Antarctica.",
    ),
    ("What is the freezing point of water?", "Water freezes at 0 degrees Celsius."),
    ("Why is the sky blue?", "Air scatters blue light more than red light."),
    ("What is a noun?", "A noun is a word that names a person, a place, a thing or an idea."),
    ("Tell me one use of iron.", "Iron is used to make steel for buildings and bridges."),
    ("Which river flows through Paris?", "The Seine flows through Paris."),
    (
        "Write one sentence about the sea.",
        "The sea was calm, and the boats lay still in the harbor.",
    ),
    ("How do I greet a friend?", "You can smile and say: Hello, it is good to see you!"),
    ("What is a good breakfast?", "Oatmeal with fruit and nuts is a good and simple breakfast."),
    ("Name three animals.", "Three animals are the lion, the elephant and the dolphin."),
    ("How can I sleep better?", "Go to bed at the same time each day and keep your room dark."),
    ("What is gravity?", "Gravity is the force that pulls objects with mass toward each other."),
    ("Say thank you in French.", "Thank you in French is merci."),
    (
        "What is a prime number?",
        "A prime number is greater than 1 and divisible only by 1 and itself.",
    ),
)
"""Questions with an answer each: on these texts the policy is held to the base model."""


def is_right(answer: str, holds: str) -> bool:
    """Return whether an answer holds what it should.

    >>> is_right("There are 7 days.", "seven|7")
    True
    """
    said = answer.lower()
    return any(one in said for one in holds.split("|"))


def as_chat(question: str, answer: str, *, system: str) -> str:
    """Return a conversation as models with ChatML, such as SmolLM2, read it."""
    turns = (("system", system), ("user", question), ("assistant", answer))
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
