/** An audit trail as JSON lines on standard output: who logged in, from where, and who ended which session. */
import { subscribe } from 'node:diagnostics_channel'
import { type AuditEvent, createSessionStore } from 'nonstick'
import { memoryBackend, memoryCache } from 'nonstick/memory'

// One line for each event, of every store in this process. A file, a pipe or a log shipper takes the place of stdout.
subscribe('nonstick:audit', (message) => {
  const { at, ...event } = message as AuditEvent
  process.stdout.write(`${JSON.stringify({ time: new Date(at).toISOString(), ...event })}\n`)
})

const sessions = createSessionStore<{ userId?: string }>({
  cache: memoryCache(),
  backend: memoryBackend(),
  identify: (data) => data.userId,
  // 32 random bytes, the same in every process. Here they come from the environment, or are of this run alone.
  auditKey: process.env['NONSTICK_AUDIT_KEY'] ?? crypto.getRandomValues(new Uint8Array(32)),
})

const client = { address: '192.0.2.1', userAgent: 'Browser/1.0' }
const visitor = await sessions.create({}, { client })
visitor.data.userId = 'ann'
const ann = await sessions.regenerate(visitor) // the login gives the session a new id, and it keeps its name in the trail
await sessions.destroy(ann) // the logout
await sessions.create({ userId: 'ann' }, { client })
await sessions.destroyByUser('ann', { by: 'operator' })
await sessions.close()
