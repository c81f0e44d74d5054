import { once } from 'node:events'
import { connect } from 'node:net'

const BATCH = 2_000

/**
 * Fills a Memcached that was started with `-M` until it refuses another value of that many bytes under a key of 52.
 * Small ones of another size may still find room. It speaks the text protocol, as no other client would get so far.
 */
export const fillMemcached = async (port: number, valueBytes: number): Promise<void> => {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  await once(socket, 'connect')
  const value = 'x'.repeat(valueBytes)
  const store = (number: number, end: string): string =>
    `set ${String(number).padStart(52, 'f')} 0 0 ${valueBytes}${end}\r\n${value}\r\n`
  try {
    for (let stored = 0; ; stored += BATCH) {
      for (let number = stored; number < stored + BATCH; number += 1) socket.write(store(number, ' noreply'))
      socket.write(store(stored + BATCH, ''))
      const [answer] = (await once(socket, 'data')) as [string]
      if (answer.includes('out of memory')) return
    }
  } finally {
    socket.destroy()
  }
}
