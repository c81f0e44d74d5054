// This build of msgpackr is a module of its own: no native strings, no generated code, and extensions that nobody else
// adds (docs/decisions/0004-codec.md).
import { Packr, RESET_BUFFER_MODE, Unpackr } from 'msgpackr/index-no-eval'

const packr: Packr = new Packr({ moreTypes: true, useToJSON: false })

const unpackr: Unpackr = new Unpackr({
  moreTypes: true,
  mapsAsObjects: false,
  copyBuffers: true,
  structuredClone: false,
})

/** msgpackr keeps its working buffer at the largest size it ever needed; beyond this we hand it a new one. */
const LARGEST_KEPT_BUFFER = 256 * 1024

/** What holds no other value as msgpack: a Date, a bigint, bytes. In a buffer of its own. */
export const pack = (leaf: unknown): Uint8Array => {
  const bytes = new Uint8Array(packr.pack(leaf, RESET_BUFFER_MODE))
  if (bytes.length > LARGEST_KEPT_BUFFER) packr.useBuffer(Buffer.allocUnsafeSlow(8192))
  return bytes
}

/** @throws errors that quote what they read, so that none of them may be passed on */
export const unpack = (bytes: Uint8Array): unknown => unpackr.unpack(bytes)
