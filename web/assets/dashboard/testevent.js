// A test treat, in the form in which "relay trigger" makes it.

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'; // Crockford's base32

/**
 * testID returns an id: "tst_", 48 bits of time and 80 random bits.
 * @param {number} at  milliseconds since 1970
 * @param {Uint8Array} random  10 bytes
 */
export function testID(at, random) {
  let bits = (BigInt(at) << 80n) | BigInt('0x' + Array.from(random, (b) => b.toString(16).padStart(2, '0')).join(''));
  bits <<= 2n; // 26 characters have 130 bits
  let text = '';
  for (let i = 0; i < 26; i++, bits >>= 5n) text = ALPHABET[Number(bits & 31n)] + text;
  return 'tst_' + text;
}

/**
 * testEvent returns the CloudEvent of a test treat.
 * @param {{account: string, provider: string, sender: string, title: string, message: string}} treat
 * @param {number} at  milliseconds since 1970
 * @param {Uint8Array} random  10 bytes
 */
export function testEvent(treat, at, random) {
  const recorded = new Date(at).toISOString();
  const time = recorded.slice(0, 19) + 'Z';
  const text = (/** @type {string} */ s) => (s.trim() === '' ? null : s.trim());
  return {
    specversion: '1.0', id: testID(at, random), source: `/${treat.provider}/${treat.account}`, type: 'treatrelay.treat.v1',
    time, recordedtime: recorded, datacontenttype: 'application/json', origin: 'test',
    data: {
      account: treat.account, provider: treat.provider, sender: text(treat.sender), sender_type: null, receiver: null, receiver_type: null,
      title: text(treat.title), message: text(treat.message), anonymous: text(treat.sender) === null, date_created: time.slice(0, 19).replace('T', ' '),
    },
  };
}
