export { jsonCodec } from './json.js'
export { msgpackCodec } from './msgpack.js'
