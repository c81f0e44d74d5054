import fc from 'fast-check'

/** Values of every kind the msgpack codec stores, nested at random; and of those JSON stores. */

const text: fc.Arbitrary<string> = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ minLength: 60, maxLength: 300 }),
  fc.array(fc.nat(0xffff), { maxLength: 80 }).map((units) => String.fromCharCode(...units)),
  fc.string().map((rest) => `\ufeff${rest.repeat(20)}`),
)

const key: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 6, arbitrary: fc.string({ maxLength: 12 }) },
    { weight: 1, arbitrary: text },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        'constructor',
        'toJSON',
        '',
        '0',
        '17',
        '__keys__',
        'hasOwnProperty',
        'length',
        'a',
        'b',
      ),
    },
  )
  .filter((name) => name !== '__proto__')

const number: fc.Arbitrary<number> = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.maxSafeInteger(),
  fc.constantFrom(-0, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 53), 2 ** 32),
)

const typedArray: fc.Arbitrary<unknown> = fc.oneof(
  fc.int8Array(),
  fc.uint8Array(),
  fc.uint8ClampedArray(),
  fc.int16Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.uint8Array().map((bytes) => Uint8Array.from(bytes).buffer),
  fc.uint8Array().map((bytes) => new DataView(Uint8Array.from(bytes).buffer)),
)

const regExp: fc.Arbitrary<RegExp> = fc
  .tuple(
    fc.constantFrom('a+', '(?:)', '[/]', '\\d{2}', '\ud800', 'ü'),
    fc.subarray(['d', 'g', 'i', 'm', 's', 'y']),
    fc.nat(),
  )
  .map(([source, flags, lastIndex]) => Object.assign(new RegExp(source, flags.join('')), { lastIndex }))

const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]

export const anySessionData: fc.Arbitrary<unknown> = fc.letrec((tie) => {
  const value = tie('value')
  const entries = fc.uniqueArray(fc.tuple(key, value), { maxLength: 8, selector: ([name]) => name })
  return {
    value: fc.oneof(
      { maxDepth: 5, depthSize: 'small' },
      fc.oneof(
        fc.constantFrom(undefined, null, true, false),
        number,
        text,
        fc.bigInt(),
        fc.tuple(fc.bigInt(), fc.constantFrom(0, 63, 64, 128, 70_000)).map(([bits, by]) => bits << BigInt(by)),
        fc.date({ noInvalidDate: true }),
        typedArray,
        regExp,
      ),
      fc.array(value, { maxLength: 8 }),
      entries.map((pairs) => Object.fromEntries(pairs)),
      entries.map((pairs) => Object.assign(Object.create(null), Object.fromEntries(pairs))),
      fc.array(fc.tuple(value, value), { maxLength: 6 }).map((pairs) => new Map(pairs)),
      fc.array(value, { maxLength: 6 }).map((members) => new Set(members)),
      fc
        .tuple(fc.constantFrom(...ERRORS), text, entries)
        .map(([Class, message, pairs]) =>
          Object.assign(new Class(message), Object.fromEntries(pairs.filter(([name]) => name !== 'stack'))),
        ),
    ),
  }
}).value

export const anyJsonData: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.oneof(
      fc.constantFrom(null, true, false),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((drawn) => (drawn === 0 ? 0 : drawn)),
      fc.integer(),
      text,
    ),
    fc.array(tie('value'), { maxLength: 8 }),
    fc
      .uniqueArray(fc.tuple(key, tie('value')), { maxLength: 8, selector: ([name]) => name })
      .map((pairs) => Object.fromEntries(pairs)),
  ),
})).value
