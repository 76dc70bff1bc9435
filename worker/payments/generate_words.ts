/** Names and texts that the example file is made of: as mixed as a processor's real export. Nobody real is meant. */

export const givenNames = [
  'Zoë', 'José', 'Søren', 'Łukasz', 'Jürgen', 'Chloé', 'Þórunn', 'Øyvind', 'Björn', 'Ágnes', 'İbrahim', 'Ștefan', 'Jiří', 'Nuño',
  'Ελένη', 'Γιώργος', 'Дмитрий', 'Ольга', 'Anna', 'John', 'Mary', 'Priya', 'Kwame', 'Siobhán', 'Māra', 'Đorđe', 'Noël', 'Renée',
];

export const familyNames = [
  'Müller', 'García', 'Nuñez', 'Sjögren', 'Kowalczyk', 'Wałęska', 'Dvořák', 'Lefèvre', 'O\'Brien', 'Ångström', 'Þorsteinsdóttir',
  'Yılmaz', 'Ionescu', 'Παπαδόπουλος', 'Иванова', 'Smith', 'Okafor', 'Nguyễn', 'Żółć', 'Szabó', 'Fernandes da Conceição',
  'van \'t Hoff', 'Krūmiņš', 'Čapek', 'Bø', 'Æbelø', 'McAllister, Jr.', 'Garneau-Lévesque',
];

/** Names that are written as a whole: other orders, other scripts, right to left, and one beyond the basic plane. */
export const wholeNames = [
  '山田 太郎', '佐藤 花子', '김민수', '이서연', '王小明', '陳美玲', '𠮷野 健太', 'محمد العلي', 'فاطمة الزهراء', 'نور الصباح',
  'דוד כהן', 'अनिता शर्मा', 'สมชาย ใจดี', 'Nguyễn Thị Minh Khai',
];

export const merchants = [
  'Nordlys Kaffe AS', 'Bob\'s "Best" Burgers, Ltd.', 'Müller & Söhne GmbH', 'Librairie L\'Écume, SARL', 'Hanami Stationery 株式会社',
  'Café Olé', 'Seoul Soul Records', 'Pearl Diving Bahrain W.L.L.', 'Al Kuwait Dates & Sweets', 'Dar Zarrouk Céramique', 'Tres Tigres, S.L.',
  'Pawłowski Rowery', 'The Ha\'penny Shop', 'Ångbåt & Co AB', 'Helvetic Cheese, Wine "and more"', 'Bazar İstanbul', 'Fjord Outdoor', 'Tulip Cycles B.V.',
  'Thistle & Thyme', 'Kyōto Knives', 'Pixel Pantry Inc.', 'Dolomiti Scarpe s.r.l.', 'Blue Door Books', 'Lagos Fabrics, Accra Beads',
];

export const notes = [
  'Order', 'Subscription, monthly', 'Gift card', 'Invoice', 'Deposit "summer house"', 'Tickets, 2 adults, 1 child', 'Réservation', 'Bestellung', 'Spare parts',
];

export const secondLines = [
  'Deliver to the neighbour, please', 'Leave at the "blue" door', 'Für Oma', 'VAT reverse charge', 'ありがとう', 'Ring twice, then wait',
];
