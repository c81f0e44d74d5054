import { headers } from 'next/headers'
import { openSessions } from '../lib/sessions'

/** A server component can read the session. It cannot change it, as it can set no cookie. */
export default async function Page() {
  const request = await headers() // It comes first: by it Next knows that the page is made for each request.
  const { web } = await openSessions()
  const { data } = await web.load(request)
  return <p>{data.user === undefined ? 'You are not logged in' : `You are logged in as ${data.user}`}</p>
}
