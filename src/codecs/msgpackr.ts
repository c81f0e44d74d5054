// This build of msgpackr is a module of its own: no native strings, no generated code, and its extensions are ours
// alone (docs/decisions/0004-codec.md).
import { addExtension, Packr, RESET_BUFFER_MODE, Unpackr } from 'msgpackr/index-no-eval'
import { restore, UNUSUAL_TYPE, Unusual } from './msgpack-unusual.js'

addExtension({ Class: Unusual, type: UNUSUAL_TYPE, write: ({ parts }) => parts, read: restore })

/** Bundled strings, msgpackr's own errors, references back and forth, its own regular expressions: never written. */
for (const type of [0x62, 0x65, 0x69, 0x70, 0x78])
  addExtension({
    type,
    unpack: () => {
      throw new Error('An extension that is not in use')
    },
  })

const packr: Packr = new Packr({
  moreTypes: true,
  useToJSON: false,
  // The guard has refused functions; should a proxy produce one afterwards, msgpackr would write `undefined`.
  writeFunction: () => {
    throw new TypeError('A function appeared while the data was being encoded')
  },
})

// Not `packr.unpack`: a Packr keeps the shapes of damaged input from one call to the next.
const unpackr: Unpackr = new Unpackr({
  moreTypes: true,
  mapsAsObjects: false,
  copyBuffers: true,
  structuredClone: false,
})

/** msgpackr keeps its working buffer at the largest size it ever needed; beyond this we hand it a new one. */
const LARGEST_KEPT_BUFFER = 256 * 1024

/** A copy of exactly its size: msgpackr's is a view on a buffer that other sessions' data passes through. */
export const pack = (value: unknown): Uint8Array => {
  const bytes = new Uint8Array(packr.pack(value, RESET_BUFFER_MODE))
  if (bytes.length > LARGEST_KEPT_BUFFER) packr.useBuffer(Buffer.allocUnsafeSlow(8192))
  return bytes
}

/** @throws errors that quote what they read, so that none of them may be passed on */
export const unpack = (bytes: Uint8Array): unknown => unpackr.unpack(bytes)
