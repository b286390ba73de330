package host

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"pinfold/internal/file"
)

// Where the board's flash and seed are, firmware/hal/mps2/mps2.h.
const (
	flashAddress = 0x21000000
	seedAddress  = 0x21020000
)

func (p *Pin) qemuFlags(firmware string) []string {
	args := []string{
		"-M", "mps2-an386", "-display", "none", "-monitor", "none", "-nodefaults", "-kernel", firmware,
		"-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", p.path(flashFile), flashAddress),
		"-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", p.path(seedFile), seedAddress),
		"-qmp", "unix:" + p.path(monitorSocket) + ",server=on,wait=off",
	}
	for _, s := range []string{phoneSocket, peerSocket, displaySocket, sensorSocket} { // UARTs 0 to 3
		args = append(args, "-chardev", fmt.Sprintf("socket,id=%s,path=%s,server=on,wait=off", s, p.path(s)), "-serial", "chardev:"+s)
	}
	return append(args, "-serial", "stdio")
}

// saveFlash stops the machine, saves its flash and ends QEMU. The file is replaced whole or not at all.
func (p *Pin) saveFlash() error {
	conn, err := net.Dial("unix", p.path(monitorSocket))
	if err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(stopTimeout)); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	m := monitor{json.NewDecoder(conn), json.NewEncoder(conn)}
	fresh := p.path(flashFile + ".new")
	if err := file.Replace(fresh, 0o600, whole(nil)); err != nil { // QEMU would make one that others can read
		return fmt.Errorf("monitor: %w", err)
	}
	for _, c := range []struct {
		name string
		args map[string]any
	}{
		{name: "qmp_capabilities"},
		{name: "stop"},
		{name: "pmemsave", args: map[string]any{"val": flashAddress, "size": flashSize, "filename": fresh}},
	} {
		if err := m.do(c.name, c.args); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, p.path(flashFile)); err != nil {
		return err
	}
	return m.do("quit", nil)
}

// monitor speaks QMP.
type monitor struct {
	in  *json.Decoder
	out *json.Encoder
}

// do carries out one command. What the monitor says meanwhile of other things is passed over.
func (m monitor) do(command string, args map[string]any) error {
	ask := map[string]any{"execute": command}
	if args != nil {
		ask["arguments"] = args
	}
	if err := m.out.Encode(ask); err != nil {
		return fmt.Errorf("monitor: %s: %w", command, err)
	}
	for {
		var answer struct {
			Return *json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := m.in.Decode(&answer); err != nil {
			return fmt.Errorf("monitor: %s: %w", command, err)
		}
		if answer.Error != nil {
			return fmt.Errorf("monitor: %s: %s", command, answer.Error.Desc)
		}
		if answer.Return != nil {
			return nil
		}
	}
}
