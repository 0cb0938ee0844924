package alerttext

import "strings"

// defaultEmoji stands for a treat that no word is known for, and defaultWord for it in the settings.
const (
	defaultEmoji = "🎁"
	defaultWord  = "default"
)

// Picture is what stands for a treat: an emoji, and instead of it a file in the overlay's folder if there is one.
type Picture struct {
	Emoji string `json:"picture"`
	File  string `json:"picture_file,omitempty"`
}

// Pictures finds the picture of a treat by the words of its title.
type Pictures struct{ files, emojis table }

// table has pictures by a word or several words, folded.
type table struct {
	pictures map[string]string
	longest  int // how many words the longest entry has
}

func (t *table) add(text, picture string) {
	all := Words(text)
	t.pictures[strings.Join(all, " ")] = picture
	t.longest = max(t.longest, len(all))
}

// NewPictures returns the pictures with files for some words. The word default has the file for all others.
func NewPictures(files map[string]string) Pictures {
	p := Pictures{table{pictures: make(map[string]string, len(files))}, emojis()}
	for word, file := range files {
		p.files.add(word, file)
	}
	return p
}

// Of returns the picture for a title. The last known word wins, as in "chocolate cake", and several words win over one.
func (p Pictures) Of(title string) Picture {
	all := Words(title)
	emoji := p.emojis.search(all)
	if emoji == "" {
		emoji = defaultEmoji
	}
	file := p.files.search(all)
	if file == "" {
		file = p.files.pictures[defaultWord]
	}
	return Picture{Emoji: emoji, File: file}
}

func (t table) search(words []string) string {
	for end := len(words); end > 0; end-- {
		for n := min(t.longest, end); n > 0; n-- {
			if v, ok := lookUp(t.pictures, strings.Join(words[end-n:end], " ")); ok {
				return v
			}
		}
	}
	return ""
}

// lookUp finds a word, or its singular. Where a script writes no spaces, the longest known word within it counts.
func lookUp(table map[string]string, word string) (string, bool) {
	for _, ending := range []string{"", "s", "es", "n", "en"} {
		if one, ok := strings.CutSuffix(word, ending); ok {
			if v, ok := table[one]; ok {
				return v, true
			}
		}
	}
	if one, ok := strings.CutSuffix(word, "ies"); ok {
		if v, ok := table[one+"y"]; ok {
			return v, true
		}
	}
	if !unspaced(word) {
		return "", false
	}
	longest := ""
	for w := range table {
		if unspaced(w) && len(w) > len(longest) && strings.Contains(word, w) {
			longest = w
		}
	}
	return table[longest], longest != ""
}

// emojis returns the emoji of each food, by its names without accents.
func emojis() table {
	t := table{pictures: map[string]string{}}
	for line := range strings.Lines(foods) {
		emoji, names, _ := strings.Cut(strings.TrimSpace(line), " ")
		for name := range strings.SplitSeq(names, ",") {
			t.add(name, emoji)
		}
	}
	return t
}

// foods has an emoji on each line, and the words that it stands for, in some languages.
const foods = `🍕 pizza, pizzas, margherita, pepperoni, calzone, ピザ, 披萨, пицца
🍔 burger, hamburger, cheeseburger, whopper, hamburguesa, ハンバーガー, бургер
🍟 fries, french fries, chips and gravy, pommes, frites, poutine, papas fritas, patatine
🌭 hot dog, hotdog, bratwurst, currywurst, sausage, wurst, saucisse, salchicha
🥪 sandwich, toastie, sub, panini, bocadillo, panino
🌮 taco, tacos
🌯 burrito, wrap, fajita, durum
🫔 tamale, tamal
🥙 kebab, doner, gyro, gyros, falafel, shawarma, pita, kebap
🧆 kofta, meatball, polpette, albondigas, kottbullar
🥚 egg, huevo, uovo, ei, oeuf
🍳 breakfast, omelette, omelet, fried egg, brunch, fruhstuck, desayuno
🥘 paella, tagine, casserole
🍲 stew, hotpot, hot pot, goulash, gulasch, eintopf, chili, feijoada
🫕 fondue
🥣 soup, porridge, oatmeal, cereal, muesli, suppe, soupe, sopa, zuppa, суп
🥗 salad, salat, salade, ensalada, insalata, salada, poke bowl
🍿 popcorn
🧈 butter, beurre, burro
🥫 beans, canned food
🍱 bento, lunchbox, お弁当
🍘 rice cracker, senbei
🍙 onigiri, rice ball, おにぎり
🍚 rice, reis, riz, arroz, riso
🍛 curry, katsu, masala, tikka masala, カレー, biryani, dal
🍜 ramen, noodle, pho, udon, soba, laksa, ラーメン, 拉面, pad thai
🍝 spaghetti, pasta, lasagna, lasagne, carbonara, bolognese, macaroni, mac and cheese, nudel, gnocchi, ravioli
🍠 sweet potato, yam
🍢 oden, skewer, satay, kebab skewer
🍣 sushi, nigiri, maki, sashimi, 寿司, すし
🍤 shrimp, prawn, tempura, garnele, gamba, crevette
🍥 fish cake, narutomaki
🥮 mooncake, moon cake, 月饼
🍡 dango, mochi, だんご
🥟 dumpling, gyoza, pierogi, momo, jiaozi, 餃子, 饺子, pelmeni, пельмени
🥠 fortune cookie
🥡 takeout, takeaway, chinese food, chow mein, fried rice
🦀 crab, krabbe, cangrejo
🦞 lobster, hummer, homard
🦐 scampi
🦑 squid, calamari
🦪 oyster, auster
🐟 fish, fish and chips, salmon, tuna, lachs, pescado, poisson, pesce
🍦 soft serve, ice cream cone, softeis
🍧 shaved ice, sorbet, slushie, slush
🍨 ice cream, gelato, icecream, eis, glace, helado, sundae, アイス, мороженое
🍩 donut, doughnut, krapfen, donat, ドーナツ
🍪 cookie, biscuit, keks, galleta, biscotti, クッキー, печенье
🎂 birthday cake, geburtstagskuchen
🍰 cake, cheesecake, shortcake, kuchen, torte, gateau, tarta, torta, bolo, ケーキ, торт, tiramisu, brownie
🧁 cupcake, muffin
🥧 pie, apple pie, tart, quiche, kuchenstuck, tourte
🍫 chocolate, chocolat, schokolade, cioccolato, cioccolata, チョコレート, шоколад, cocoa
🍬 candy, sweet, bonbon, caramelo, caramel, caramella, sussigkeit, gummy bear, haribo
🍭 lollipop, lolly
🍮 pudding, custard, flan, creme brulee, プリン
🍯 honey, honig, miel, miele
🍼 milk bottle
🥛 milk, milch, lait, leche, latte macchiato, latte di mandorla
☕ coffee, con leche, au lait, espresso, cappuccino, latte, mocha, americano, kaffee, cafe, caffe, コーヒー, 咖啡, кофе, hot chocolate
🫖 teapot
🍵 tea, matcha, chai, tee, the, te, お茶, 茶, чай
🍶 sake
🍾 champagne, prosecco, cava, sekt
🍷 wine, wein, vin, vino, vinho, merlot, вино
🍸 martini, gin
🍹 cocktail, mojito, margarita, pina colada, daiquiri
🍺 beer, bier, biere, cerveza, birra, cerveja, ビール, пиво, pint, lager, ale
🥂 toast drink, bubbly
🥃 whisky, whiskey, bourbon, rum, vodka, tequila
🥤 soda, cola, coke, pepsi, lemonade, limonade, energy drink, red bull, smoothie, milkshake, shake, soft drink
🧋 bubble tea, boba, タピオカ, 奶茶
🧃 juice, saft, jus, zumo, succo, suco
🧉 mate, yerba mate
🧊 ice cube
💧 water, wasser, agua, eau, acqua, hydration, hydrate
🍇 grape, traube, uva
🍈 melon
🍉 watermelon, sandia, wassermelone
🍊 orange, mandarin, tangerine, clementine
🍋 lemon, zitrone, citron, limon, limone
🍌 banana, banane, platano
🍍 pineapple, ananas, pina
🥭 mango
🍎 apple, apfel, pomme, manzana, mela, maca, りんご
🍐 pear, birne, poire, pera
🍑 peach, pfirsich, peche, pesca
🍒 cherry, kirsche, cerise, cereza
🍓 strawberry, erdbeere, fraise, fresa, fragola, いちご
🫐 blueberry, heidelbeere, myrtille
🥝 kiwi
🍅 tomato, tomate, pomodoro
🫒 olive, oliva
🥥 coconut, kokosnuss, coco
🥑 avocado, guacamole
🍆 eggplant, aubergine
🥔 potato, kartoffel, patata, batata, baked potato
🥕 carrot, karotte, carotte, zanahoria
🌽 corn, mais, maize, elote
🌶 pepper, hot sauce, jalapeno, spicy
🥒 cucumber, gurke, pickle
🥬 lettuce, cabbage, kimchi
🥦 broccoli
🧄 garlic, knoblauch, garlic bread
🧅 onion, zwiebel, onion rings
🥜 peanut, nut, nuss, cacahuete, peanut butter
🌰 chestnut
🍞 bread, brot, pain, pan, pane, pao, パン, хлеб
🥐 croissant
🥖 baguette
🫓 naan, flatbread, tortilla
🥨 pretzel, brezel, breze, bretzel
🥯 bagel
🥞 pancake, crepe, pfannkuchen, hotcake
🧇 waffle, waffel, gaufre, gofre
🧀 cheese, kase, fromage, queso, formaggio, queijo, сыр
🍖 rib, bbq, barbecue, meat, fleisch, viande, carne
🍗 chicken, wing, chicken wing, nugget, drumstick, huhn, hahnchen, poulet, pollo, kfc, turkey
🥩 steak, beef, filet
🥓 bacon, speck
🐶 dog treat, puppy treat, pet treat
🐱 cat treat
🥢 sesame chicken
🍴 dinner, meal, lunch, abendessen, cena, diner, snack
`
