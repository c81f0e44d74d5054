import { connect } from 'node:net'

/** How many entries a Memcached on this machine has, as it says itself. */
export const entriesOf = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => socket.write('stats\r\n'))
    socket.setEncoding('utf8')
    socket.on('error', reject)
    socket.on('data', (part: string) => {
      text += part
      if (!text.includes('END\r\n')) return
      socket.destroy()
      resolve(Number(/STAT curr_items (\d+)/.exec(text)?.[1]))
    })
  })
