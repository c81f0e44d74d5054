import { connect } from 'node:net'

/** How long a server may take to answer, where nobody says it, in ms. */
const PATIENCE_MS = 10_000

/**
 * Sends one command of Memcached's text protocol, over a connection of its own.
 *
 * @param address `host:port`
 * @param lastLine what the answer has once it is whole
 * @returns the answer. Rejects where none comes within `patienceMs`
 */
export const memcachedSays = (
  address: string,
  command: string,
  lastLine: RegExp,
  patienceMs: number = PATIENCE_MS,
): Promise<string> => {
  const [host = '127.0.0.1', port] = address.split(':')
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) }, () => socket.write(`${command}\r\n`))
    let text = ''
    socket.setTimeout(patienceMs, () => socket.destroy(new Error('memcached did not answer')))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (!lastLine.test(text)) return
      socket.destroy()
      resolve(text)
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('memcached closed the connection')))
  })
}

/** What a Memcached counts, by name; 0 for what it does not count. */
export const memcachedCounts = async (
  address: string,
  command: 'stats' | 'stats slabs' = 'stats',
  patienceMs?: number,
): Promise<(name: string) => number> => {
  const text = await memcachedSays(address, command, /^END\r\n/m, patienceMs)
  return (name) => Number(new RegExp(`^STAT ${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

export const memcachedVersion = async (address: string, patienceMs?: number): Promise<string> => {
  const text = await memcachedSays(address, 'version', /^VERSION .*\r\n/, patienceMs)
  return text.trim().replace('VERSION ', '')
}
