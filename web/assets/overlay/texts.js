// relay's own words on screen.

const LANGUAGES = {
  en: { treat: 'New treat', anonymous: 'Anonymous', more: { one: 'and # more treat', other: 'and # more treats' }, sent: (who, what) => `${who} sent ${what}`, a: 'a treat', today: 'Treats today', stream: 'Treats this stream', month: 'Treats this month' },
  de: { treat: 'Neuer Treat', anonymous: 'Anonym', more: { one: 'und # weiterer Treat', other: 'und # weitere Treats' }, sent: (who, what) => `${who} schickt ${what}`, a: 'einen Treat', today: 'Treats heute', stream: 'Treats in diesem Stream', month: 'Treats in diesem Monat' },
  es: { treat: 'Nuevo regalo', anonymous: 'Anónimo', more: { one: 'y # regalo más', other: 'y # regalos más' }, sent: (who, what) => `${who} envió ${what}`, a: 'un regalo', today: 'Regalos de hoy', stream: 'Regalos de este directo', month: 'Regalos de este mes' },
  fr: { treat: 'Nouveau cadeau', anonymous: 'Anonyme', more: { one: 'et # cadeau de plus', other: 'et # cadeaux de plus' }, sent: (who, what) => `${who} envoie ${what}`, a: 'un cadeau', today: "Cadeaux d'aujourd'hui", stream: 'Cadeaux de ce live', month: 'Cadeaux de ce mois' },
  it: { treat: 'Nuovo regalo', anonymous: 'Anonimo', more: { one: 'e # altro regalo', other: 'e altri # regali' }, sent: (who, what) => `${who} ha inviato ${what}`, a: 'un regalo', today: 'Regali di oggi', stream: 'Regali di questa diretta', month: 'Regali di questo mese' },
  nl: { treat: 'Nieuwe traktatie', anonymous: 'Anoniem', more: { one: 'en nog # traktatie', other: 'en nog # traktaties' }, sent: (who, what) => `${who} stuurt ${what}`, a: 'een traktatie', today: 'Traktaties vandaag', stream: 'Traktaties deze stream', month: 'Traktaties deze maand' },
  pt: { treat: 'Novo presente', anonymous: 'Anônimo', more: { one: 'e mais # presente', other: 'e mais # presentes' }, sent: (who, what) => `${who} enviou ${what}`, a: 'um presente', today: 'Presentes de hoje', stream: 'Presentes desta live', month: 'Presentes deste mês' },
  ja: { treat: '差し入れ', anonymous: '匿名', more: { other: 'ほか#件' }, sent: (who, what) => `${who}さんから${what}`, a: '差し入れ', today: '今日の差し入れ', stream: 'この配信の差し入れ', month: '今月の差し入れ' },
};

// isolated keeps the direction of a viewer's text from changing that of the line.
const isolated = (text) => '\u2068' + text + '\u2069';

// known returns the locale if the browser accepts it, or else its language.
function known(locale) {
  try {
    return Intl.getCanonicalLocales(locale)[0];
  } catch {
    return locale.split('-')[0];
  }
}

// texts returns the words of a locale, or the English ones.
export function texts(locale) {
  const words = LANGUAGES[locale.split('-')[0].toLowerCase()] ?? LANGUAGES.en;
  const language = words === LANGUAGES.en ? 'en' : known(locale);
  const number = new Intl.NumberFormat(language);
  const more = (n) => (words.more[new Intl.PluralRules(language).select(n)] ?? words.more.other).replace('#', number.format(n));
  return {
    ...words,
    number: (n) => number.format(n),
    // moreWith says how many treats more there are, and from whom; '' if there are none.
    moreWith: (n, senders) => {
      if (n < 1) return '';
      if (senders.length === 0) return more(n);
      return more(n) + ' · ' + senders.map(isolated).join(', ') + (n > senders.length ? ', …' : '');
    },
    // spoken is the alert in one sentence or two.
    spoken: (alert) => {
      const first = words.sent(alert.sender || words.anonymous, alert.title || words.a);
      return [first, alert.message, alert.more > 0 ? more(alert.more) : ''].filter(Boolean).join('. ');
    },
  };
}
