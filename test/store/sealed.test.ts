/** The tests of what the store promises, once more, on stores that seal what they keep and believe nothing else. */
import { keyNamed } from '../support/sealing.js'
import { sealEveryWorld } from './world.js'

sealEveryWorld({ keys: [keyNamed('current'), keyNamed('older')] })

await import('./calls.test.js')
await import('./doubt.test.js')
await import('./flushing.test.js')
await import('./handle.test.js')
await import('./idle-ttl.test.js')
await import('./large.test.js')
await import('./life.test.js')
await import('./listing.test.js')
await import('./lives.test.js')
await import('./merging.test.js')
await import('./newest.test.js')
await import('./outages.test.js')
await import('./purging.test.js')
await import('./quarantine.test.js')
await import('./reading.test.js')
await import('./recorded.test.js')
await import('./round-the-cache.test.js')
await import('./takeover.test.js')
await import('./users.test.js')
await import('./writing.test.js')
