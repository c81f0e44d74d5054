import { expect, test } from 'vitest'
import { jsonCodec, jsonLike, msgpackCodec } from '../../src/codecs/index.js'
import { codecContract } from '../../src/testing/codec-contract.js'

const notJson = 'JSON has no form for it, so it is refused'

codecContract(test, { name: 'msgpack', codec: msgpackCodec })

codecContract(test, {
  name: 'json',
  codec: jsonCodec,
  cannot: {
    'undefined comes back, as a property, as an element and by itself': notJson,
    'negative zero, NaN and the infinities come back': notJson,
    'objects without a prototype come back without one': notJson,
    'bigints of any size come back': notJson,
    'a Date comes back to the millisecond': notJson,
    'an invalid Date comes back invalid': notJson,
    'a Map comes back in order and with keys of any kind': notJson,
    'a Set comes back in order': notJson,
    'a Buffer comes back a Buffer, and a Uint8Array a Uint8Array': notJson,
    'typed arrays, ArrayBuffers and DataViews come back': notJson,
    'a RegExp comes back with its flags and its lastIndex': notJson,
    'an Error comes back with its class, its cause and its properties': notJson,
  },
})

const asJson = 'it stores what JSON would have stored'

codecContract(test, {
  name: 'json-like',
  codec: jsonLike(),
  cannot: {
    'a function is refused': asJson,
    'a symbol is refused, as a value and as a key': asJson,
    'an instance of a class is refused, also of one with a toJSON or derived from a known one': asJson,
    'an array with holes or with properties of its own is refused': asJson,
    'getters, setters and hidden properties are refused, and no getter is run': asJson,
    'a refusal quotes no content, and its path long keys only in part': asJson,
    'a refusal’s message and what a log shows of it hold no name of the data, which its path has': asJson,
    'after a refusal the next value is encoded as if nothing had been': asJson,
  },
})

test('an exemption from a rule that does not exist is a mistake', () => {
  const subject = { name: 'msgpack', codec: msgpackCodec, cannot: { 'swims like a fish': 'it is a codec' } }
  expect(() => codecContract(() => {}, subject)).toThrow(TypeError)
})

test('the ids are those the envelope documents', () => {
  expect([msgpackCodec, jsonCodec].map(({ name, id }) => [name, id])).toEqual([
    ['msgpack', 1],
    ['json', 2],
  ])
})
