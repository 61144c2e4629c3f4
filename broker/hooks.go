package broker

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// takeOverPatience bounds how long a client waits for its own earlier connection to end. It takes far less: nothing there waits for the network.
const takeOverPatience = 5 * time.Second

// hook is where mochi asks us. Its methods run on the connection's goroutine, but OnClientExpired, which runs on mochi's housekeeping.
type hook struct {
	mqtt.HookBase
	b *Broker
}

// ID names the hook.
func (h *hook) ID() string { return "cidp" }

// Provides says which methods mochi should call.
func (h *hook) Provides(b byte) bool {
	return slices.Contains([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketProcessed, mqtt.OnSubscribe, mqtt.OnSubscribed,
		mqtt.OnUnsubscribe, mqtt.OnUnsubscribed, mqtt.OnClientExpired,
	}, b)
}

// OnConnect refuses a client for which there is no room, and mends a keepalive that mochi's arithmetic overflows on.
func (h *hook) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	const longestKeepalive = 43690 // seconds; one and a half times more is beyond 16 bits
	if cl.State.Keepalive > longestKeepalive {
		cl.State.Keepalive = 0 // half a day and more: none
	}
	if _, known := h.b.server.Clients.Get(cl.ID); known || h.b.registry.len() < h.b.cfg.MaxSessions {
		return nil
	}
	h.b.counters.connectionsRefused.Add(1)
	busy := packets.ErrServerBusy
	if cl.Properties.ProtocolVersion < protocol5 {
		busy = packets.ErrServerUnavailable
	}
	if err := h.b.server.SendConnack(cl, busy, false, nil); err != nil {
		return err
	}
	return busy
}

// OnConnectAuthenticate says whether a client may connect.
func (h *hook) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	cfg := &h.b.cfg
	named := pk.Connect.UsernameFlag
	if cfg.Authenticate == nil || (!named && cfg.AllowAnonymous) {
		return true
	}
	if named && cfg.Authenticate(string(pk.Connect.Username), pk.Connect.Password) {
		return true
	}
	h.b.counters.authFailures.Add(1)
	return false
}

// OnACLCheck lets everybody read. Nobody's PUBLISH gets as far as mochi's check.
func (h *hook) OnACLCheck(_ *mqtt.Client, _ string, write bool) bool { return !write }

// OnSessionEstablish comes before mochi looks for a session to resume: it waits until an earlier connection of the client is entirely gone, so that
// mochi never has two, and opens or resumes our session by the same rule as mochi.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	c, ok := connOf(cl)
	if !ok {
		return
	}
	c.clientID = cl.ID
	c.version = cl.Properties.ProtocolVersion
	c.keepalive = time.Duration(cl.State.Keepalive+cl.State.Keepalive/2) * time.Second // as mochi counts
	c.slack = min(time.Second, time.Duration(cl.State.Keepalive)*time.Second/16)
	c.maxPacket = int(cl.Properties.Props.MaximumPacketSize)
	c.sendMax = maxOutstanding
	if quota := int(cl.Properties.Props.ReceiveMaximum); quota > 0 {
		c.sendMax = min(quota, maxOutstanding)
	}
	h.takeOver(c)
	c.will = h.b.takeWill(c, cl, &pk)

	existing, resume := h.b.server.Clients.Get(cl.ID)
	if resume && h.b.registry.get(cl.ID) == nil { // it expired just now: mochi forgets it after telling us
		h.b.server.Clients.Delete(cl.ID)
		resume = false
	}
	if resume && (pk.Connect.Clean || (existing.Properties.Clean && existing.Properties.ProtocolVersion < protocol5)) {
		resume = false
	}
	s, ended := h.b.registry.open(cl.ID, resume, h.b.termsOf(cl))
	if ended != nil {
		h.b.endSession(ended)
	}
	h.b.cancelWill(s) // nothing when the session is new
	c.session = s
}

// takeOver closes the earlier connection of the same client and waits for its end.
func (h *hook) takeOver(c *conn) {
	patience := time.NewTimer(takeOverPatience)
	defer patience.Stop()
	for {
		other := h.b.registry.hold(c)
		if other == nil {
			return
		}
		h.b.counters.takenOver.Add(1)
		other.disconnect(reasonTakenOver)
		select {
		case <-other.served:
			h.b.registry.release(other)
		case <-patience.C:
			h.b.cfg.Log.Warn().Str("client", c.clientID).Msg("earlier connection does not end: taking over all the same")
			return
		}
	}
}

// OnSessionEstablished comes after CONNACK: from here on messages are delivered to the client.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c, ok := connOf(cl)
	if !ok {
		return
	}
	c.connected.Store(true)
	h.b.counters.connected.Add(1)
	c.session.attach(c)
	if cl.State.Subscriptions.Len() > 0 { // mochi subscribed the resumed filters without telling
		h.b.routing.changed()
	}
	for _, g := range c.session.subscriptions(true) {
		h.b.sendRetained(c, g)
	}
}

// OnDisconnect comes when a client that was connected is gone.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	c, ok := connOf(cl)
	if !ok {
		return
	}
	c.ended = expire
	if expire {
		h.b.registry.end(c.session)
		return
	}
	t := h.b.termsOf(cl) // DISCONNECT may have changed them
	c.session.renew(t)
	if h.b.registry.get(cl.ID) == c.session {
		h.b.server.Clients.Add(h.b.absentee(c.session, t.expiry)) // also when mochi forgot it: it expired at the moment it came back
	}
}

// OnClientExpired comes when a session was not resumed in time. Mochi forgets the client but leaves its subscriptions in the index.
func (h *hook) OnClientExpired(cl *mqtt.Client) {
	if s := h.b.registry.expire(cl); s != nil {
		h.b.unsubscribe(cl)
		h.b.endSession(s)
	}
}

// unsubscribe takes an expired client's subscriptions out of the index, but leaves those that it has made since it is back: the index knows clients by name.
func (b *Broker) unsubscribe(cl *mqtt.Client) {
	b.server.UnsubscribeClient(cl)
	s := b.registry.get(cl.ID)
	if s == nil {
		return
	}
	for _, g := range s.subscriptions(false) {
		if b.server.Topics.Subscribe(cl.ID, g.Subscription) {
			atomic.AddInt64(&b.server.Info.Subscriptions, 1)
		}
	}
	b.routing.changed()
}

// OnPacketRead takes PUBLISH and its acknowledgements out of mochi's hands: they are replaced by a packet that mochi does nothing for. An
// ErrRejectPacket closes the connection.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := connOf(cl)
	if !ok {
		return pk, nil
	}
	if misused(&pk) {
		return h.b.refuse(c, pk, packets.ErrProtocolViolation)
	}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		if pk.Connect.WillFlag && len(pk.Connect.WillPayload) == 0 {
			c.emptyWill = true
			pk.Connect.WillPayload = []byte{0} // mochi refuses an empty one
		}
	case packets.Publish:
		return h.b.takePublish(cl, c, pk)
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		failed := pk.ReasonCode >= firstFailure
		c.session.acknowledged(c, pk.FixedHeader.Type, pk.PacketID, failed)
		return nothing(pk), nil
	case packets.Pubrel:
		c.session.releaseReceived(c, pk.PacketID)
		return nothing(pk), nil
	case packets.Disconnect:
		if c.version == protocol5 && pk.FixedHeader.Remaining == 1 {
			pk.ReasonCode = c.lastByte // mochi looks for a reason only where properties follow; nothing follows a DISCONNECT
		}
		c.goodbye = pk.ReasonCode == 0
		if limit := h.b.server.Options.Capabilities.MaximumSessionExpiryInterval; pk.Properties.SessionExpiryInterval > limit {
			pk.Properties.SessionExpiryInterval = limit // mochi bounds what CONNECT asks for, but not this
		}
	}
	return pk, nil
}

// misused says whether a packet is against the protocol in a way that mochi lets pass: it is not for a client to send, its packet id is 0,
// the Retain Handling of a filter is 3 (MQTT 5, sections 2.2.1 and 3.8.3.1), or it is a CONNECT whose flags or names are wrong.
func misused(pk *packets.Packet) bool {
	switch pk.FixedHeader.Type {
	case packets.Connect:
		p := &pk.Connect
		return (p.WillFlag && !validTopic(p.WillTopic)) || (!p.WillFlag && p.WillQos > 0) || !utf8.Valid(p.Username) || bytes.IndexByte(p.Username, 0) >= 0 ||
			(pk.ProtocolVersion < protocol5 && p.PasswordFlag && !p.UsernameFlag) // MQTT 3.1.1, section 3.1.2.9
	case packets.Connack, packets.Suback, packets.Unsuback, packets.Pingresp, packets.Auth:
		return true
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		return pk.PacketID == 0
	case packets.Subscribe:
		return slices.ContainsFunc(pk.Filters, func(sub packets.Subscription) bool { return sub.RetainHandling > 2 })
	}
	return false
}

// nothing is a packet that mochi does nothing for: it acknowledges the packet id 0, which never exists.
func nothing(pk packets.Packet) packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, ProtocolVersion: pk.ProtocolVersion}
}

// OnPacketEncode completes CONNACK: mochi holds MQTT 5 clients to these limits without announcing them.
func (h *hook) OnPacketEncode(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode == 0 {
		pk.Properties.TopicAliasMaximum = maxAliases
		pk.Properties.MaximumPacketSize = uint32(h.b.cfg.MaxPacket)
	}
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode != 0 && (pk.ProtocolVersion < 3 || pk.ProtocolVersion > protocol5) {
		pk.ReasonCode = packets.Err3UnsupportedProtocolVersion.Code // MQTT 3.1.1, section 3.1.2.2
	}
	if pk.FixedHeader.Type == packets.Connack && pk.ProtocolVersion < protocol5 && pk.ReasonCode == packets.ErrUnspecifiedError.Code {
		pk.ReasonCode = packets.Err3ClientIdentifierNotValid.Code // MQTT 3.1.1, section 3.1.3.1: no client id and not a clean session
	}
	return pk
}

// connOf gives our connection of a client.
func connOf(cl *mqtt.Client) (*conn, bool) {
	c, ok := cl.Net.Conn.(*conn)
	return c, ok
}
