// @ts-check
// The port of the page. Plain JavaScript, since it is looked at before anything is installed or built.
import { createServer } from 'node:net'

/**
 * Listens on 127.0.0.1.
 *
 * @param {import('node:net').Server} server
 * @param {number} port 0 takes a free one
 * @returns {Promise<void>} rejects with one sentence that says what to do
 */
export const listenOn = (server, port) =>
  new Promise((resolve, reject) => {
    /** @type {(error: NodeJS.ErrnoException) => void} */
    const refused = (error) => {
      const reasons = new Map([
        ['EADDRINUSE', 'another program uses it'],
        ['EACCES', 'this user may not use it'],
      ])
      const reason = reasons.get(error.code ?? '') ?? error.message
      reject(new Error(`Port ${port} cannot be had: ${reason}. Choose another, or leave out --port.`, { cause: error }))
    }
    server.once('error', refused)
    server.listen(port, '127.0.0.1', () => {
      server.removeListener('error', refused)
      resolve()
    })
  })

/**
 * Whether the port can be had now. Another program may take it a moment later.
 *
 * @param {number} port
 * @returns {Promise<void>} rejects as `listenOn` does
 */
export const tryPort = async (port) => {
  const server = createServer()
  await listenOn(server, port)
  await new Promise((resolve) => server.close(resolve))
}
