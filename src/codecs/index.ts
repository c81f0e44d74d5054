export { jsonCodec } from './json.js'
export { jsonLike } from './json-like.js'
export { msgpackCodec } from './msgpack.js'
