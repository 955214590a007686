"""Word lists of the generator: what people are reminded of, whom they meet, what they note."""

NAMES = """Anna Ben Carla David Elif Felix Grace Hugo Irina Jonas Kemal Lena Marek Nora Omar Paula
Quentin Rosa Samir Tara Ulrich Vera Wassim Xenia Yara Zoe Aaron Bella Cem Daria Emil Fatima Georg
Hanna Ivan Julia Klaus Lara Milan Nina Oskar Petra Rafael Sophie Tim Ursula Viktor Wanda Yusuf Zara
Alex Alice Arthur Bjorn Bruno Chloe Chris Clara Diego Dora Eduardo Ella Erik Eva Finn Frieda Gabriel
Greta Harry Helena Ian Ida Isaac Ivy Jack Jana Joel Kai Kate Kim Leo Linda Louis Lucy Luis Maja
Maria
Mark Martha Matteo Mia Mona Nadia Nathan Nico Olga Oliver Oscar Pablo Peter Phil Rita Robert Robin
Ruth Sam Sandra Sara Sebastian Selma Simon Stefan Susan Tanja Theo Thomas Tobias Tom Valentina
Vincent Walter Will Yannick Mehmet Priyanka Wei Hiroshi Aisha Chidi Ngozi Amit Ravi Deepa Sanjay Lin
Mei Jun Min-jun Sakura Kenji Fatou Kwame Siobhan Liam Aoife Sean Lars Ingrid Sven Astrid Pekka
Dimitri Natasha Boris Svetlana Marco Giulia Paolo Francesca Carlos Lucia Miguel Sofia""".split()

TITLES = ["Mr", "Mrs", "Ms", "Dr", "Professor"]
SURNAMES = """Miller Smith Brown Schmidt Weber Novak Rossi Garcia Lopez Silva Kim Park Chen Wang
Patel
Singh Khan Ali Yilmaz Kaya Jensen Larsen Berg Dubois Martin Kowalski Horvat Popov Ivanova Tanaka
Sato
Okafor Mensah O'Brien Murphy Walker Young King Hall Wood Stone Baker Fischer Becker
Wagner""".split()

KIN = (
    """mum mom dad grandma grandpa my_sister my_brother my_wife my_husband my_boss my_aunt my_uncle
my_cousin my_daughter my_son my_neighbour my_landlord my_parents the_kids the_babysitter my_coach
my_partner my_girlfriend my_boyfriend my_flatmate granny nan auntie my_niece my_nephew""".split()
)
KIN = [k.replace("_", " ") for k in KIN]

OFFICES = """dentist|doctor|vet|bank|school|plumber|electrician|landlord|garage|hairdresser|
pharmacy|
insurance company|tax office|town hall|library|kindergarten|gym|optician|lawyer|accountant|
post office|
travel agency|delivery company|internet provider|phone company|hotel|restaurant|bakery|florist|
physiotherapist|hospital|clinic|embassy|university|job centre|housing office|mechanic|painter|
carpenter|cleaner|gardener|tailor|butcher|caterer|photographer|driving school|music school|
nursery|estate agent|energy supplier|water company|recycling centre""".replace(
    "\n", ""
).split(
    "|"
)

GROCERIES = """milk eggs bread butter cheese apples bananas onions potatoes rice pasta flour sugar
coffee tea yoghurt tomatoes garlic carrots oranges lemons honey oats salt pepper olive_oil chocolate
toilet_paper soap shampoo toothpaste batteries light_bulbs dog_food cat_litter nappies wine beer
juice
fish chicken tofu lentils beans spinach mushrooms cucumbers peppers strawberries nuts raisins yeast
candles napkins stamps envelopes printer_paper ink bin_bags washing_powder dishwasher_tablets
a_new_bulb
birthday_candles wrapping_paper a_card flowers plasters vitamins sunscreen bird_seed
oat_milk""".split()
GROCERIES = [g.replace("_", " ") for g in GROCERIES]

# "{o}" an office, "{n}" a name, "{k}" kin, "{g}" groceries, "{d}" a thing, "{w}" an unusual word
VERB_PHRASES = """say {w} to {n}|say goodbye to {k}|give {n} the {v}|tell {n} to {y}|
ask {n} to {y} the {v}|ask {k} to bring the {v}|show {n} {d}|explain the {v} to {n}|
call the {o}|call {n}|call {k}|phone {n}|ring {k}|ring the {o}|call {n} back|
email {n}|email the {o}|write to {n}|text {k}|text {n}|message {n} about {d}|answer {n}'s email|
reply to {n}|reply to the {o}|send {n} {d}|send {d} to the {o}|send {d} to {n}|buy {g}|
buy {g} and {g}|
get {g}|get {g} and {g}|pick up {g}|pick up {d}|pick up {d} from the {o}|pick {n} up|pick {k} up|
fetch {d}|fetch {n} from the station|collect {d}|drop {d} off|drop off {d} at the {o}|bring {d}|
bring {n} {d}|take {d} along|take {d} to the {o}|take {d} back|return {d}|return {d} to {n}|pay {d}|
pay the {o}|pay {n} back|transfer money to {n}|renew {d}|cancel {d}|order {d}|order {g}|book {d}|
print {d}|scan {d}|sign {d}|fill in {d}|submit {d}|finish {d}|start {d}|prepare {d}|check {d}|
check on {d}|check on {k}|look at {d}|look for {d}|clean {d}|wash {d}|iron {d}|fold the laundry|
hang up the washing|empty the dishwasher|load the dishwasher|unload the car|vacuum the hallway|
mop the floor|dust the shelves|change the sheets|make the beds|tidy {d}|sort {d}|sort out {d}|
water the plants|water the garden|mow the lawn|rake the leaves|feed the {a}|walk the {a}|
brush the {a}|
take the {a} to the vet|clean the {a}'s cage|take out the rubbish|take the rubbish out|
put the bins out|turn off {d}|turn on {d}|turn the oven off|turn the heating on|switch off {d}|
lock {d}|unlock {d}|close the windows|open the windows|charge {d}|plug in {d}|unplug {d}|update {d}|
back up {d}|install {d}|restart {d}|fix {d}|repair {d}|replace {d}|measure {d}|paint {d}|move {d}|
pack {d}|pack for the trip|pack lunch|make dinner|make a cake|bake bread|cook the {f}|
defrost the {f}|take the {f} out of the oven|put the {f} in the oven|stir the {f}|
marinate the {f}|take my medicine|take my tablets|take my vitamins|take the pill|do my exercises|
do yoga|go for a run|go for a walk|go to bed|go to the {o}|go to {n}'s place|go shopping|get up|
leave for work|leave for the {o}|leave the house|get ready|get petrol|fill up the tank|
pump up the tyres|wash the car|move the car|check the tyre pressure|read chapter {i}|
read {d}|practise the {m}|practise {l}|study for the exam|study {l}|do my homework|
help {n} with {d}|
ask {n} about {d}|ask {k} about {d}|tell {n} about {d}|tell {k} that I am late|thank {n}|
congratulate {n}|wish {n} luck|wish {n} a happy birthday|visit {k}|visit {n}|meet {n}|invite {n}|
join the call|join the meeting|dial in|log my hours|submit my hours|write the report|
write the minutes|
review {d}|proofread {d}|talk to {n}|talk to {k} about {d}|speak with the {o}|confirm {d}|
confirm with {n}|reschedule {d}|vote|donate blood|apply for {d}|register for {d}|sign up for {d}|
drink water|have a snack|buy {g}, {g} and {g}|eat something|stretch|stand up|breathe|take a break|
watch the {s}|
record the {s}|listen to {d}|look up {w}|buy {w}|call {w}|ask about {w}|finish {w}|bring {w}|
order {w}|fix the {w}|check the {w}|clean the {w}|send {w} to {n}""".replace("\n", "").split("|")

THINGS = """the keys|the parcel|the package|the letter|the invoice|the bill|the rent|the contract|
the form|the tickets|the passport|my passport|my laptop|the laptop|my phone|the phone|the charger|
the camera|the bike|my bike|the helmet|the documents|the report|the slides|the presentation|
the photos|
the prescription|the glasses|my glasses|the suit|the dress|the shoes|the coat|the jacket|
the umbrella|
the library books|the book|the money|the deposit|the insurance|the subscription|the membership|
the appointment|the reservation|the flight|the hotel|the car|the tyres|the lamp|the tap|the sink|
the fridge|the freezer|the oven|the stove|the heating|the boiler|the lights|the alarm|the door|
the back door|the gate|the garage|the shed|the basement|the attic|the kitchen|the bathroom|
the office|
the desk|the drawer|the wardrobe|the shopping list|the recipe|the cake|the present|the gift|
the flowers|
the costume|the school bag|the lunch box|the permission slip|the homework|the essay|the thesis|
the application|the spreadsheet|the budget|the timesheet|the expenses|the tax return|the meter|
the water filter|the smoke detector|the printer|the router|the server|the backup|the website|
the newsletter|the email from {n}|the message from {n}|{n}'s birthday|{n}'s present|{n}'s keys|
{n}'s car|{n}'s book|the ladder|the drill|the toolbox|the tent|the sleeping bags|the suitcase|
the visa|the driving licence|my driving licence|the vaccination card|the recipe for {n}|
the parking ticket|the fine|the electricity bill|the phone bill|the gas bill|the water bill|
the credit card|my bank card|the survey|the questionnaire|the petition|the certificate|
the guitar|the piano|the violin|the sourdough|the compost|the herbs|the tomatoes|the hedge|
the projector|the microphone|the order|the refund|the warranty|the receipt|the voucher|
the season ticket|the train tickets|the concert tickets|the exam results|the blood test|
the christmas cards|the decorations|the costumes|the playlist|the podcast|the {w}|my {w}""".replace(
    "\n", ""
).split("|")

ANIMALS = "dog cat hamster rabbit guinea_pig parrot goldfish tortoise horse chickens".replace(
    "_", " "
).split(" ")
FOODS = "chicken lasagne stew soup roast curry dough pizza salmon turkey bread casserole".split()
MUSIC = "piano guitar violin drums flute cello trumpet song choir_piece".replace("_", " ").split(
    " "
)
SUBJECTS = "maths physics biology history Spanish French Italian German Japanese chemistry".split()
SHOWS = ["match", "game", "final", "news", "film", "race", "debate", "concert", "last episode"]

# what an entry of the calendar is; no article
EVENTS = """dentist|doctor|doctor's appointment|dentist appointment|haircut|hairdresser|eye doctor|
vet appointment|check-up|blood test|physiotherapy|massage|therapy|vaccination|X-ray|
parent-teacher evening|
school concert|sports day|piano lesson|guitar lesson|dance class|yoga|yoga class|pilates|
spinning class|
tennis|tennis with {n}|badminton with {n}|football practice|basketball game|volleyball|
climbing with {n}|
run with {n}|swimming with the kids|chess club|book club|poker night|game night|movie night|
film night|
cinema with {n}|theatre|opera|museum with {n}|exhibition|concert with {n}|party at {n}'s|dinner|
dinner with {n}|dinner with {k}|dinner at {n}'s|lunch|lunch with {n}|lunch with {k}|
breakfast with {n}|
brunch|brunch with {n}|coffee with {n}|coffee with {k}|drinks with {n}|drinks after work|barbecue|
barbecue at {n}'s|picnic|birthday party|{n}'s birthday|{n}'s birthday party|{n}'s wedding|wedding|
{n}'s graduation|baby shower|housewarming|reunion|family dinner|meeting|meeting with {n}|
meeting with {n} and {n}|meeting with the {o}|team meeting|budget meeting|sales meeting|
board meeting|
kick-off|stand-up|retrospective|one-on-one with {n}|interview|interview with {n}|phone interview|
call with {n}|call with the {o}|video call with {n}|conference call|webinar|training|
first aid course|
seminar|lecture|exam|maths exam|driving test|driving lesson|presentation|demo|product demo|release|
deadline|project deadline|inspection|car inspection|oil change|tyre change|plumber|electrician|
chimney sweep|heating engineer|delivery|furniture delivery|handyman|cleaning lady|window cleaner|
moving day|flat viewing|viewing with {n}|open day|conference|trade fair|trip to {c}|flight to {c}|
train to {c}|weekend in {c}|holiday|business trip|camping|hike with {n}|ski trip|city trip|
boat trip|
visit from {n}|{k} visiting|{n} visiting|babysitting|volunteering|choir|choir rehearsal|
band practice|
rehearsal|church|blood donation|car boot sale|flea market|garden party|street festival|fireworks|
appointment with {n}|appointment at the {o}|{w} meeting|{w} with {n}|{w} workshop|{w}|
{n}'s {w}""".replace("\n", "").split("|")

CITIES = (
    """Rome Paris Berlin Vienna Madrid London Prague Porto Oslo Dublin Athens Zurich Milan Hamburg
Munich Lyon Brussels Amsterdam Copenhagen Stockholm Warsaw Krakow Budapest Istanbul Cairo Tokyo
Seoul
Boston Chicago Denver Austin Seattle Toronto Lima Nairobi Delhi Mumbai Sydney""".split()
)

# "{r}" a number or code
NOTES = """the {v} ends in {mo}|the {v} starts in {mo}|the {v} runs until {mo}|{n} is away in {mo}|
the {v} renews in {mo}|{n} retires in {mo}|the {o} moves in {mo}|{v}s are cheapest in {mo}|
{v}s to {y}: {w}, {w}|{v}s to {y} - {w}, {w}|{g}, {g}, {g} and {v}s|to {y}: {v}, {v}, {v}|
books for {n} - {w}, {w} and {w}|{n}: {r}|{n} - {r}|ideas - {v}, {w}|{v} list: {v}, {g}, {w}|
phone {n} {r} {r}|mobile {r} {r} {r}|tel {r} {r}|ring back on {r} {r}|{n}'s mobile is {r} {r}|
{v} {r}|{v} {v} {r}|{v} reading {r}|{w}: {r}/{r}|{j} {v} = {r}|{r} = {v}|{w}@{w}.com|www.{w}.com|
{v} at {r}, {v} at {r}|{n} prefers {v}|{n} can't stand {v}s|{n} works on {dy}s|{n} moved to {c}|
the {j} {v} belongs to {n}|the {v} comes every second {dy}|{v} goes out on {dy}s|
ask {n} why {v}s {y}|
{y} the {v} before you {y} it|never {y} the {j} {v}|{v} & {v}|{v}: {j}, {v}: {j}|
{v} {i} x {i} cm|{i} {v}s at {r}|{v} needs {i} more {v}s|page {i}, line {i}|{dy}s {v}, {dy}s {v}|
{w} costs {r} at the {o}|the {o} is closed on {dy}s|dream about a {j} {v}|{n} said the {v} is {j}|
the {t} is {r}|{n}'s {t} is {r}|{t} {r}|{t}: {r}|the {t} for the {o} is {r}|
{n} likes {g}|
{n} hates {g}|{n} is allergic to {g}|{n} doesn't eat {g}|{n} owes me {r} euros|
I owe {n} {r} dollars|
I lent {n} {d}|{n} borrowed {d}|{n} has {d}|{d} is in the {p}|{d} are in the {p}|
the car is parked {q}|
I parked {q}|gift idea for {n}: {w}|gift ideas for {n}: {g} and {w}|present for {k}: {w}|
book recommendation: {w} by {n} {u}|films to watch: {w} and {w}|{n} recommended {w}|
try {w} at the {w}|
shopping: {g}, {g} and {g}|list: {g}, {g}, {g}|need {g} and {g}|idea: {w} with {w}|
idea for the {w} project|recipe needs {i} eggs and {g}|{f} takes {i} minutes at {r} degrees|
the {o} closes at {i}|the {o} opens at {i}|the {o} charges {r} an hour|ask for {n} at the {o}|
the {x} is {r} cm wide|{x} size {r}|shoe size {i}|{n} wears size {i}|bike frame number {r}|
flight number {w} {r}|seat {r}|room {r}|order number {r}|invoice {r} is paid|customer number {r}|
meeting room is on floor {i}|{n}'s new address is {w} street {i}|{n}'s birthday is in {mo}|
{n} and {n} are getting married|{n} starts school in {mo}|last oil change at {r} km|
tyres changed in {mo}|printed {i} copies|we are {i} people for dinner|{n} comes by train|
code word {w}|{w} {w} {w}|call it {w}|{n} said {w}|talk to {n} about {w}|check {w} again|
look into {w}|the {w} needs {w}|maybe {w} instead of {w}|watered the plants|fed the {a}|
paid the {o}|sent {d} to {n}|took {i} tablets|weight {r} kg|blood pressure {r} over {i}|
ran {i} km|slept {i} hours""".replace(
    "\n", ""
).split(
    "|"
)

NOTE_TOPICS = """pin|pin code|door code|alarm code|username|serial number|licence plate|
phone number|
account number|combination|room number|reference number|locker code|access code|zip code|
voucher code|booking code|contract number|garage code|safe combination|router name|guest login|
library card number|tax number|policy number|membership number|extension""".replace(
    "\n", ""
).split(
    "|"
)
PLACES = """kitchen drawer|top drawer|hall closet|basement|attic|garage|glove compartment|blue box|
red folder|green folder|office|bedroom|bathroom cabinet|shed|car|backpack|desk|bottom shelf|freezer|
wardrobe""".replace("\n", "").split("|")
PARKED = [
    "on level {i}",
    "in row {i}",
    "behind the {o}",
    "in front of the {o}",
    "on {w} street",
    "near the station",
    "in spot {r}",
]
OBJECTS = [
    "sofa",
    "desk",
    "window",
    "shelf",
    "curtain rail",
    "door",
    "table",
    "rug",
    "bed",
    "mirror",
]
MONTHS = """january february march april may june july august september october november
december""".split()

SYLLABLES = """ba be bo bra bri ca ce co cra da de di do dra du fa fe fi flo fra ga ge gi glo gra
ha he
hi ho hu ja je jo ka ke ki kla ko la le li lo lu ma me mi mo mu na ne ni no nu pa pe pi pla po pra
ra re
ri ro ru sa se si ska so sta sto su ta te ti to tra tu va ve vi vo wa we wi ya yo za ze
zi""".split()
ENDINGS = ["", "", "n", "r", "s", "l", "x", "th", "ck", "nd", "rt", "m"]
EVERYDAY = (
    """garden bottle window paper blanket silver rocket planet winter summer engine marble copper
castle bridge pocket ribbon saddle ticket travel ocean forest meadow puzzle pencil folder carpet
mirror
lantern harbour island velvet compass feather gravel hammer jungle kettle ladder magnet needle
orchard
pepper quartz raven shelter tunnel valley walnut zipper almond basket candle danger elbow flower
guitar
helmet insect jacket kitten lemon monkey napkin onion parcel rabbit salmon temple umbrella violet
whistle yellow zebra anchor butter circle dragon energy finger ginger hollow""".split()
)

# for questions about anything
NOUNS = """airport apple army artist asteroid atom aunt avocado baby bacteria ballet bank barn
battery beach bear beard bee beer bell berry bird blood boat body bomb bone boot border brain
bridge bug building bus cable cactus camel canal cancer candle car castle cathedral cave cell
chain chair cheese chemical child chimney church city climate cloud coal coast coin colour comet
company concert continent country court cow crab crime crocodile crown crystal culture currency
dam dance desert diamond dictionary dinosaur disease doctor dolphin donkey drum duck eagle ear
earthquake economy egg election electron elephant emperor empire engine eye fabric factory falcon
family farm fashion fence festival fever film fire fish flag flood flower fly fog fossil fox
freezer frog fruit fuel galaxy garden gas gene ghost giraffe glacier glass goat god gold gorilla
government grape grass guitar gun hair hammer harp hat heart hedgehog helicopter helmet hero hill
horse hospital hotel hurricane ice idea insect instrument iron island ivory jellyfish judge juice
jungle key king knee knight laboratory lake lamp language laser law leaf leather lens lever
library lightning lion lizard lung machine magnet map market marriage mass medal medicine melody
metal meteor microwave mine mineral mirror molecule money monk monkey monster moon mosquito moth
motor mountain mouse mud muscle museum mushroom myth nation needle nerve nest newspaper novel
number oak ocean octopus oil opera orange orchestra organ ostrich owl oxygen oyster paint palace
panda paper parliament parrot party peach pearl pencil penguin pepper pharaoh photo pigeon pillow
pilot pirate planet plant plastic plate poet poison police pope port potato prince prison pyramid
queen rabbit radar rain rat recipe religion reptile revolution rhino rice ring river road robot
rocket roof root rope rose ruby sail salt satellite saxophone school science sculpture seal season
seed senate shadow shark sheep ship shoe silk singer skeleton skin skull sky slave sleep snail
snake snow soap soil soldier song sound soup space spice spider sponge sport squirrel stamp star
statue steam steel stomach stone storm strawberry street submarine sugar sun surgeon swan sword
tail tank tax teacher team telescope temple tennis theatre throat tide tiger tomato tongue tooth
torch tower town toy tractor trade train treasure treaty tree tribe truck trumpet tsunami turtle
tyre uncle uniform universe vaccine valley vampire vegetable vein verb village violin virus
vitamin volcano voice vulture wall war wasp water wave weapon wedding whale wheat wheel wind
windmill wine wing witch wolf wood wool word world worm zebra""".split()
VERBS = """absorb arrive attack bake balance beat become begin bite bleed blow boil break breathe
breed build burn buy care carry catch change chase choose clean climb collect communicate compare
cook cost count crash cross cry cure cut dance decay destroy die dig digest dissolve dive divide
draw drink drive drown dye earn eat erupt escape evolve expand explode explore export fall feed
feel fight fill find fit fix float fly fold forget form freeze grow hang hatch hear heat hibernate
hide hit hold hunt hurt identify invent itch jump kill know last laugh lay leak learn lie lift
live look lose make marry measure melt migrate milk mine mix move multiply navigate need orbit own
paint pay peel plant play pollute print produce protect rain react reproduce rise roar rot row run
rust sail see sell shine shoot shrink sing sink sleep smell smoke sneeze spin split spread start
steal sting store survive swim swing taste teach tell think throw travel turn use vanish vote walk
warm wash wear weigh win work yawn""".split()
ADJECTIVES = """acid ancient angry big black blind blue bright brown cheap clean clever cold
common cool dangerous dark dead deaf deep dirty dry electric expensive extinct famous fast fat
female fertile flat fragile free fresh full good green grey hard healthy heavy high holy hot huge
hungry important infectious invisible large lazy legal light liquid long loud low magnetic male
natural new noisy nuclear old orange pink poisonous poor popular pregnant purple quick quiet
radioactive rare raw red rich round rude sad salty sharp short sick silver slow small smooth soft
solid sour special square sticky stiff strong sweet tall thick thin tiny toxic transparent ugly
useful warm waterproof weak wet white wide wild wise wooden yellow young""".split()

# entries put together: "{m} {h}", with what may follow
EVENT_MODS = """job gym project planning quarterly annual staff client customer school parents'
kids' children's office company department design budget marketing strategy progress
performance kitchen
garden roof boiler fire safety language French Spanish Polish cooking pottery painting sewing
swimming diving sailing riding judo karate ballet salsa tango orchestra drama theatre board_game
card_game trivia pub wine cheese charity neighbourhood village town residents' club union student
thesis exam music drum hockey rugby handball rowing cycling marathon ski surf farewell welcome
retirement engagement birthday graduation christening summer winter spring autumn christmas easter
halloween new_year's carnival harvest tax insurance mortgage bank visa passport dental eye skin
heart knee back allergy ultrasound flu cat dog puppy car bike motorbike tyre brake house flat final
first second follow-up product data server press radio photo video team family women's men's
community church youth open sales board finance training research science maths history art
choir brass_band first_aid driving boat city museum castle zoo farm forest beach mountain""".split()
EVENT_MODS = [m.replace("_", " ") for m in EVENT_MODS]
EVENT_HEADS = """meeting interview session class lesson course workshop training practice rehearsal
review call check inspection party dinner lunch brunch breakfast drinks evening night tour trip
visit walk ride run race tournament match game festival fair market concert show exhibition opening
launch presentation defence exam test appraisal consultation treatment scan jab surgery delivery
pickup collection handover viewing installation repair service cleaning ceremony reception meetup
get-together reunion camp retreat excursion talk lecture seminar conference committee briefing
deadline submission quiz picnic barbecue workout kickoff demo hike chat day week weekend
celebration group club raffle auction premiere screening tasting play recital gig sleepover
bazaar assembly
pageant musical derby regatta""".split()
EVENT_TAILS = """with {n}|with {k}|with the {o}|at {n}'s|at {k}'s place|in {c}|for {n}|at the {o}|
with {n} and {n}|at the {v}|in the {v}|with my {v} group|w/ {n}|with {n} {u}|for the {v}|
with the {v} people""".replace(
    "\n", ""
).split("|")
ACTIVITIES = """writing|reading|studying|deep work|gardening|cooking|revision|admin|paperwork|
bookkeeping|planning|packing|research|coding|emails|job applications|focus time|family time|
me time|home office|vacation|holiday|annual leave|day off|sick leave|parental leave|jury duty|
on call|housework|laundry|groceries|shopping|exercise|meditation|running|swimming|knitting|naps|
my thesis|the {v} project|{l} homework|practising {m}|learning {l}|working on {d}|sorting {d}|
cleaning {d}|fixing {d}|building the {v}|tidying the {p}|driving to {c}|visiting {k}|
moving house|house hunting|bird watching|wine tasting|apple picking|dog training|date night|
lunch break|quiet time|surveyor|
inspector""".replace(
    "\n", ""
).split("|")
HAPPENINGS = """{n} arriving|{k} visiting|{n} and {n} visiting|{n} in town|{n} comes over|
{n} moves out|grandparents visiting|in-laws visiting|friends visiting|train leaves|bus leaves|
ferry leaves|flight leaves|school starts|{v} starts|{n}'s flight lands|{n}'s train arrives|
gas man comes|chimney sweep comes|painters come|{n} picks up {d}|{v} opens|tickets go on sale|
rent due|{v} due|{d} due back|contract ends|course begins|term ends|kids at {n}'s|
{n} babysits|{n} plays in the {v}|new {v} arrives|hand over {d}|check in at the {v}""".replace(
    "\n", ""
).split("|")

# what one does with a thing
OPEN_VERBS = """put away|take out|bring back|pick up|drop off|hand in|hand back|hand over|fill in|
fill up|clear out|throw out|throw away|wipe down|hang up|take down|put up|set up|switch on|
switch off|turn down|look into|look after|sort out|give back|send off|post|mail|deliver|collect|
fetch|return|exchange|sell|rent|hire|lend|borrow|find|choose|compare|measure|weigh|draw|paint|
varnish|sand|glue|sew|mend|patch|polish|rinse|soak|scrub|descale|defrost|thaw|freeze|chop|peel|
slice|marinate|bake|roast|knead|stir|taste|serve|label|pack|unpack|wrap|unwrap|stack|fold|iron|
air|oil|grease|tighten|loosen|replace|renew|extend|cancel|confirm|approve|reject|sign|stamp|copy|
scan|print|laminate|frame|rotate|prune|plant|repot|fertilise|harvest|mow|rake|sweep|flip|turn|
assemble|dismantle|calibrate|charge|update|reset|reboot|archive|encrypt|sync|rename|review|revise|
translate|rehearse|practise|memorise|submit|publish|announce|organise|prepare|book|reserve|order|
test|check|inspect|water|feed|brush|bathe|trim|vaccinate|register|insure|count|tidy|lock|cover|
shut|move|carry|lift|bring|buy|get|grab|read|watch|play|tune|close|open|send|ask for|pay for|
search for|listen to|talk about|think about|vote on|apply for|sign up for|get rid of""".replace(
    "\n", ""
).split("|")
DETERMINERS = ["the"] * 3 + ["my", "a", "our", "some", "two", "those", "{n}'s", "all the", ""]
DO_TAILS = """for {n}|with {n}|before the {v}|for the {v}|at {n}'s place|because {n} asked|for {k}|
with the {v}|in the {p}|to {n}|to the {o}|from the {o}|from {n}|under the {v}|behind the {v}|
on the {v}|near the {v}|next to the {v}|into the {v}|out of the {v}|and the {v}|or the {v}|
without {n}|about {d}|again|properly|online|at home|at work|together|first|as well|
and tell {n}|and lock {d}|so that {n} can {y}|before {n} gets home|after the {v}|instead of {n}|
of the {v}|by {n}|by post|in {c}|for {i} people|and {i} {v}s""".replace(
    "\n", ""
).split("|")

# notes put together
OPEN_NOTES = """{v} {i} {v}s, not {i}|size {i} {v}s, not {i}|{j} {v}, not {j}|{n}, not {n}, has {d}|
the {j} {v} is in the {p}|the {v} is under the {v}|the {v} key is {a_p} the {v}|
{n} wants {d}|{n} prefers {j} {v}s|the {v} costs {i} euros|never {y} the {j} {v} again|
always {y} the {v} first|{y} the {v} before the {v}|I put the {v} in the {p}|I left {d} at {n}'s|
I hid the {v} in the {p}|I gave {d} to {n}|{v} {i} by {i}|{v}s {i} by {i} cm|{v}: {g}, {g} and {g}|
ideas for the {v}: {j} {v}s along the {v}|idea for the {v}: {v}s and {v}s|{v} size {n} {i}|
{v} colour {p} is {x2} {r}|{v} ink is {w} {r}|{n}'s {v} is {j}|the {v} opens at {i}|
the {v} leaves at {i}:30|bus {i} goes every {i} minutes|meet at the {v} at {i}am|{n} called at {i}|
{n} is back on {dy}|{v} is closed on {dy}s|the {v} was {y}ed in {mo}|the {v} was serviced in {mo}|
the {v} expires in {mo}|{n} has {i} {v}s|we need {i} {v}s for the {v}|{n} doesn't like {v}s|
{n} can't stand {g}|{k} takes {g} in the {g}|the {v} is {j} but the {v} is {j}|
{w} is better than {w}|
new number of {n}: {r} {r}|{n}'s number is {r} {r}|call back number {r} {r}|{v} number {r}|
the {v} {v} is broken|the {o} said {i} days|{n} won the {v}|do not {y} the {v}|{j} {v}|
{v} {v} {v}|{v}, {v}, {v} and {v}|my {v} is called {w}|{n} lives at {w} road {i}|
paid {i} for the {v}|
the {v} fits {i} {v}s|password hint: {j} {v}|{n} and {k} want to {y}|recipe: {i} g {g}, {i} {g}|
turn left at the {v}|the spare {v} is at {n}'s|{v} works only with the {j} {v}|I am {j} of {v}s|
I need a {j} {v}|I should {y} more|my {v} weighs {i} kg|quote: {w} {y}s the {v}|
{n} said the {v} is {j}|
the {v} needs {i} hours to dry|the {v} for the {v} is {r}|{w}'s {v} is {r}""".replace(
    "\n", ""
).split("|")
PARTICLES = "out in off up back down away over on upstairs outside home".split()
NOTE_PREPOSITIONS = "under behind in on above inside beside below".split()
